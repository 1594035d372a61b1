"use strict";
// Everybody's account, for admins. A row is changed in its fields and saved with Enter or its button: a select that acted
// at each arrow key would give somebody four roles on the way to the fifth.

const FIELDS = ["display_name", "role", "group"];

const people = {
  rows() {
    return [...document.querySelectorAll("tr[data-person]")];
  },

  tell(sentence, failed) {
    const said = document.getElementById("people-said");
    said.textContent = sentence;
    said.classList.toggle("failed", failed);
  },

  async send(path, body) {
    try {
      return await ask(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
    } catch (error) {
      this.tell(error.message, true);
      return null;
    }
  },

  showSecret(answer, after) {
    document.getElementById("secret-name").textContent = answer.person.name;
    document.getElementById("secret").textContent = answer.one_time_password;
    const dialog = document.getElementById("secret-dialog");
    dialog.addEventListener("close", () => {
      document.getElementById("secret").textContent = "";
      after();
    }, {once: true});
    dialog.showModal();
  },

  sure(title, what) {
    const dialog = document.getElementById("sure-dialog");
    document.getElementById("sure-title").textContent = title;
    document.getElementById("sure-what").textContent = what;
    dialog.returnValue = "no";
    dialog.showModal();
    return new Promise((told) => dialog.addEventListener("close", () => told(dialog.returnValue === "yes"), {once: true}));
  },

  changes(row) {
    const changed = {};
    for (const name of FIELDS) {
      const field = row.querySelector(`[data-field="${name}"]`);
      if (field.value.trim() !== field.dataset.was) changed[name] = field.value.trim();
    }
    return changed;
  },

  mark(row) {
    const changed = Object.keys(this.changes(row)).length > 0;
    row.classList.toggle("changed", changed);
    row.querySelector("[data-save]").hidden = !changed;
  },

  asItWas(row) {
    for (const field of row.querySelectorAll("[data-field]")) field.value = field.dataset.was;
    this.mark(row);
  },

  async save(row) {
    const changed = this.changes(row);
    if (Object.keys(changed).length === 0) return;
    const answer = await this.send(this.path(row), changed);
    if (!answer) return;
    this.fill(row, answer.person);
    this.tell(tr("{name} is changed.", {name: answer.person.name}), false);
  },

  path(row) {
    return "/api/people/" + pathOf(row.dataset.person);
  },

  fill(row, person) {
    for (const name of FIELDS) {
      const field = row.querySelector(`[data-field="${name}"]`);
      field.value = person[name];
      field.dataset.was = person[name];
    }
    const state = row.querySelector("[data-state]");
    const word = person.disabled ? tr("shut") : person.must_change ? tr("has not logged in yet") : person.directory ? tr("open, by the directory") : tr("open");
    state.replaceChildren(person.disabled ? el("span", {class: "state defect"}, word) : word);
    const button = row.querySelector("[data-disable]");
    if (button) {
      button.dataset.disable = person.disabled ? "0" : "1";
      button.textContent = person.disabled ? tr("Open again") : tr("Shut");
      button.setAttribute("aria-label", person.disabled ? tr("Open again: {name}", {name: person.name}) : tr("Shut: {name}", {name: person.name}));
    }
    this.mark(row);
  },

  async shut(row, shut) {
    const name = row.dataset.person;
    if (shut && !await this.sure(tr("Shut {name}?", {name}), tr("Whoever is logged in as {name} is logged out at once.", {name}))) return;
    const answer = await this.send(this.path(row), {disabled: shut});
    if (answer) this.fill(row, answer.person);
  },

  async reset(row) {
    const name = row.dataset.person;
    if (!await this.sure(tr("New password of {name}?", {name}), tr("The password of now is worth nothing then, and {name} is logged out.", {name}))) return;
    const answer = await this.send(this.path(row), {reset: true});
    if (answer) this.showSecret(answer, () => this.fill(row, answer.person));
  },

  find() {
    const wanted = document.getElementById("find-person").value.trim().toLowerCase();
    let count = 0;
    for (const row of this.rows()) {
      const fields = [...row.querySelectorAll("[data-field]")].map((field) => field.selectedOptions ? field.selectedOptions[0].text : field.value);
      row.hidden = ![row.dataset.person, ...fields].join("\n").toLowerCase().includes(wanted);
      if (!row.hidden) count += 1;
    }
    document.getElementById("found").textContent = tr("{count} people", {count});
  },

  sortBy(key, head) {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => ({
      name: row.dataset.person,
      role: row.querySelector("[data-field=role]").value,
      group: row.querySelector("[data-field=group]").value,
      state: row.querySelector("[data-state]").textContent,
      since: row.dataset.since.padStart(16, "0"),
    })[key];
    const sorted = this.rows().sort((a, b) => (down ? -1 : 1) * value(a).localeCompare(value(b), undefined, {numeric: true}));
    document.querySelector("#people tbody").append(...sorted);
  },

  /** Up and Down: the same field of the next row that is shown; from above the table into it, and back. */
  step(event) {
    const row = event.target.closest("tr[data-person]");
    const shown = this.rows().filter((one) => !one.hidden);
    const next = row ? shown[shown.indexOf(row) + (event.key === "ArrowDown" ? 1 : -1)] : shown[0];
    event.preventDefault();
    if (!next) return document.getElementById("find-person").focus();
    const same = row ? event.target.dataset.field : "display_name";
    (next.querySelector(`[data-field="${same}"]`) || next.querySelector("[data-field=display_name]")).focus();
  },
};

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("add-person").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = (id) => document.getElementById(id).value.trim();
    const asked = {name: field("person-name"), role: field("person-role"), group: field("person-group")};
    const answer = await people.send("/api/people", asked);
    if (answer) people.showSecret(answer, () => location.reload());
  });
  const find = document.getElementById("find-person");
  find.addEventListener("input", () => people.find());
  find.addEventListener("keydown", (event) => { if (event.key === "ArrowDown") people.step(event); });
  for (const button of document.querySelectorAll(".sort")) {
    button.addEventListener("click", () => people.sortBy(button.dataset.sort, button.closest("th")));
  }
  for (const row of people.rows()) {
    for (const field of row.querySelectorAll("[data-field]")) {
      field.dataset.was = field.value;
      field.addEventListener("input", () => people.mark(row));
      field.addEventListener("keydown", (event) => {
        if (event.key === "Enter") { event.preventDefault(); people.save(row); }
        if (event.key === "Escape") people.asItWas(row);
        if (field.tagName === "INPUT" && !field.list && ["ArrowUp", "ArrowDown"].includes(event.key)) people.step(event);
      });
    }
    row.querySelector("[data-save]").addEventListener("click", () => people.save(row));
    row.querySelector("[data-reset]")?.addEventListener("click", () => people.reset(row));
    row.querySelector("[data-disable]")?.addEventListener("click", (event) => people.shut(row, event.target.dataset.disable === "1"));
  }
});

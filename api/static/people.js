"use strict";
// One's own password; for admins the accounts.

function tell(id, sentence, failed) {
  const said = document.getElementById(id);
  said.textContent = sentence;
  said.classList.toggle("failed", failed);
}

function send(path, body) {
  return ask(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
}

async function changePassword(event) {
  event.preventDefault();
  const [old, wanted, again] = ["old", "new", "again"].map((id) => document.getElementById(id).value);
  if (wanted !== again) return tell("account-said", tr("The new password and its repetition differ."), true);
  try {
    await send("/api/account", {password: old, new_password: wanted});
    location.href = "/";
  } catch (error) {
    tell("account-said", error.message, true);
  }
}

async function changePerson(path, body) {
  try {
    const answer = await send(path, body);
    if (answer.one_time_password === null) return location.reload();
    document.getElementById("secret-name").textContent = answer.person.name;
    document.getElementById("secret").textContent = answer.one_time_password;
    const dialog = document.getElementById("secret-dialog");
    dialog.addEventListener("close", () => location.reload());
    dialog.showModal();
  } catch (error) {
    tell("people-said", error.message, true);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("password-form")?.addEventListener("submit", changePassword);
  document.getElementById("add-person")?.addEventListener("submit", (event) => {
    event.preventDefault();
    changePerson("/api/people", {name: document.getElementById("person-name").value.trim(), role: document.getElementById("person-role").value});
  });
  for (const row of document.querySelectorAll("tr[data-person]")) {
    const path = "/api/people/" + pathOf(row.dataset.person);
    row.querySelector("[data-role]").addEventListener("change", (event) => changePerson(path, {role: event.target.value}));
    row.querySelector("[data-reset]").addEventListener("click", () => changePerson(path, {reset: true}));
    row.querySelector("[data-disable]")?.addEventListener("click", (event) => changePerson(path, {disabled: event.target.dataset.disable === "1"}));
  }
});

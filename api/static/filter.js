"use strict";
// What of the queue is meant: kept in the address, and under names of one's own.

const VIEWS_MS = 15_000; // the counts of the views

const filter = {
  fields: ["line_id", "decision", "product", "batch_id", "cause", "camera", "age"],
  more: ["product", "batch_id", "cause", "camera", "age"],
  changed: () => {},
  begins: null, // the filter that an address without one means; null: everything

  /** The filter as a query, from the address. */
  query() {
    const given = new URLSearchParams(location.search);
    const query = new URLSearchParams();
    for (const name of this.fields) if (given.get(name)) query.set(name, given.get(name));
    return query;
  },

  narrow() {
    return [...this.query().keys()].length > 0;
  },

  fits(verdict) {
    const query = this.query();
    const [cause, camera, decision] = [query.get("cause"), query.get("camera"), query.get("decision")];
    return ["line_id", "product", "batch_id"].every((name) => !query.get(name) || verdict[name] === query.get(name))
      && this.isOfAge(verdict, query.get("age"))
      && (verdict.blind || ((!decision || decision.split(",").includes(verdict.decision))
        && (!cause || verdict.causes.some((one) => one.cause === cause)) && (!camera || this.names(verdict, "camera:" + camera))));
  },

  isOfAge(verdict, asked) {
    const [side, minutes] = (asked || "").split(":");
    const old = (Date.now() - Date.parse(verdict.event_at)) / 60_000;
    return !minutes || (side === "under" ? old <= Number(minutes) : old > Number(minutes));
  },

  /** Does its evidence or a cause of it name this source? */
  names(verdict, source) {
    const {present, missing, late, unfit} = verdict.evidence;
    return [present, missing, late, unfit].some((sources) => sources.includes(source))
      || verdict.causes.some((one) => one.cause.split(" & ").includes(source));
  },

  /** Mean this from now on; `text` is what stands behind the `?`. */
  use(text) {
    history.replaceState(null, "", text ? "/?" + text : this.begins === null ? "/" : "/?all"); // "/" alone is what one begins with
    this.show();
    this.changed();
  },

  take() {
    const query = new URLSearchParams();
    for (const name of this.fields) {
      const value = document.getElementById("filter-" + name).value.trim();
      if (value) query.set(name, value);
    }
    this.use(query.toString());
  },

  show() {
    const query = this.query();
    for (const name of this.fields) document.getElementById("filter-" + name).value = query.get(name) || "";
    document.getElementById("filter-clear").hidden = !this.narrow();
    document.getElementById("more-filters").open ||= this.more.some((name) => query.get(name));
    try { sessionStorage.setItem("qcfuse.filter", query.toString()); } catch { /* the next part is then any */ }
    for (const view of document.querySelectorAll("#views [data-query]")) {
      view.setAttribute("aria-pressed", view.dataset.query === query.toString());
    }
    const begin = document.getElementById("begin-here");
    const same = (this.begins ?? "") === query.toString();
    begin.hidden = same && this.begins === null;
    begin.setAttribute("aria-pressed", same);
    begin.textContent = same ? tr("My queue begins here") : tr("Begin my queue here");
  },

  async showViews() {
    const found = await ask("/api/views").catch(() => null); // a lost connection is told by the stream
    if (!found) return;
    document.getElementById("views").replaceChildren(...found.items.map((view) => this.chip(view)));
    this.show();
  },

  /** One view: its name, how many parts wait within it, and the way to forget it. */
  chip(view) {
    const shared = view.shared ? tr("shared by {name}", {name: view.owner}) : "";
    const use = el("button", {type: "button", "data-query": view.query, "aria-pressed": "false", title: shared},
      view.name, " ", el("b", {}, view.waiting ?? "–"), view.shared ? el("small", {}, " " + tr("shared")) : null);
    use.addEventListener("click", () => this.use(view.query));
    const forget = el("button", {type: "button", class: "forget", "aria-label": tr("Forget the view {name}", {name: view.name})}, "×");
    forget.addEventListener("click", async () => {
      await ask("/api/views/" + pathOf(view.name) + "?owner=" + encodeURIComponent(view.owner), {method: "DELETE"}).catch((error) => say(error.message));
      this.showViews();
    });
    const mayForget = view.mine || document.getElementById("view-shared");
    return el("span", {class: "view"}, use, mayForget ? forget : null);
  },

  async keep(name) {
    const shared = document.getElementById("view-shared")?.checked || false;
    try {
      await this.post("/api/views", {name, query: this.query().toString(), shared});
      await this.showViews();
    } catch (error) {
      say(tr("The view was not kept: {why}", {why: error.message}));
    }
  },

  post(path, body) {
    return ask(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
  },

  /** The queue begins with what is shown now; asked for again, with everything. */
  async beginHere() {
    const query = this.query().toString();
    const wanted = this.begins === query || query === "" ? null : query;
    try {
      await this.post("/api/queue/begin", {query: wanted});
      this.begins = wanted;
      this.show();
    } catch (error) {
      say(tr("Not kept: {why}", {why: error.message}));
    }
  },

  begin(changed) {
    this.changed = changed;
    this.begins = document.getElementById("begin-here").dataset.begins ?? null;
    document.getElementById("begin-here").addEventListener("click", () => this.beginHere());
    for (const name of this.fields) document.getElementById("filter-" + name).addEventListener("change", () => this.take());
    document.getElementById("filter-clear").addEventListener("click", () => this.use(""));
    document.getElementById("keep-view").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = document.getElementById("view-name");
      if (field.value.trim()) this.keep(field.value.trim());
      field.value = "";
    });
    window.addEventListener("popstate", () => { this.show(); this.changed(); });
    this.show();
    this.showViews();
    setInterval(() => { if (!document.hidden) this.showViews(); }, VIEWS_MS);
  },
};

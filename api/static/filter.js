"use strict";
// What of the queue is meant: kept in the address, and under names of one's own.

const filter = {
  fields: ["line_id", "decision", "product", "batch_id", "cause"],
  changed: () => {},

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
    const cause = query.get("cause");
    return ["line_id", "product", "batch_id"].every((name) => !query.get(name) || verdict[name] === query.get(name))
      && (verdict.blind || !query.get("decision") || query.get("decision").split(",").includes(verdict.decision))
      && (verdict.blind || !cause || verdict.causes.some((one) => one.cause === cause));
  },

  /** Mean this from now on; `text` is what stands behind the `?`. */
  use(text) {
    history.replaceState(null, "", text ? "/?" + text : "/");
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
    document.getElementById("more-filters").open ||= ["product", "batch_id", "cause"].some((name) => query.get(name));
    try { sessionStorage.setItem("qcfuse.filter", query.toString()); } catch { /* the next part is then any */ }
    for (const view of document.querySelectorAll("#views [data-query]")) {
      view.setAttribute("aria-pressed", view.dataset.query === query.toString());
    }
  },

  async showViews() {
    const found = await ask("/api/views").catch(() => ({items: []})); // a lost connection is told by the stream
    document.getElementById("views").replaceChildren(...found.items.map((view) => {
      const use = el("button", {type: "button", "data-query": view.query, "aria-pressed": "false"}, view.name);
      use.addEventListener("click", () => this.use(view.query));
      const forget = el("button", {type: "button", class: "forget", "aria-label": tr("Forget the view {name}", {name: view.name})}, "×");
      forget.addEventListener("click", async () => {
        await ask("/api/views/" + pathOf(view.name), {method: "DELETE"}).catch((error) => say(error.message));
        this.showViews();
      });
      return el("span", {class: "view"}, use, forget);
    }));
    this.show();
  },

  async keep(name) {
    try {
      await ask("/api/views", {
        method: "POST",
        headers: {"Content-Type": "application/json"},
        body: JSON.stringify({name, query: this.query().toString()}),
      });
      await this.showViews();
    } catch (error) {
      say(tr("The view was not kept: {why}", {why: error.message}));
    }
  },

  begin(changed) {
    this.changed = changed;
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
  },
};

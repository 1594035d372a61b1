"use strict";
// What is going wrong now: since when, how many parts, the part that shows it best, and all of them one click away.
// Folded away it says how many there are; whoever folds it away finds it so until something else goes wrong.

const INCIDENTS_SHOWN = 3; // the rest behind "all": the queue stays on the screen
const FOLDED = "qcfuse.incidents-folded";

const incidents = {
  all: false,
  open: [],

  async look() {
    const found = await ask("/api/incidents").catch(() => null); // a lost connection is told by the stream
    if (found) this.show(found.items.filter((one) => one.kind === "camera" || one.kind === "process"));
  },

  show(open) {
    this.open = open;
    document.getElementById("incidents").hidden = open.length === 0;
    const folded = this.folded();
    const shown = folded ? [] : this.all ? open : open.slice(0, INCIDENTS_SHOWN);
    const list = document.getElementById("incident-list");
    const fresh = JSON.stringify([shown, Math.floor(Date.now() / 60_000)]); // the age is told anew each minute
    if (list.dataset.shown !== fresh && !list.contains(document.activeElement)) { // nothing flickers or loses the focus
      list.replaceChildren(...shown.map((one) => this.row(one)));
      list.dataset.shown = fresh;
    }
    list.hidden = folded;
    document.getElementById("incidents-fold").setAttribute("aria-expanded", !folded);
    document.getElementById("incidents-count").textContent = open.length;
    const more = document.getElementById("incidents-all");
    more.hidden = folded || open.length <= INCIDENTS_SHOWN;
    more.textContent = this.all ? tr("Fewer") : tr("All {count}", {count: open.length});
  },

  /** What was folded away stays so; another incident unfolds it. */
  folded() {
    try {
      const known = JSON.parse(localStorage.getItem(FOLDED) || "null");
      return known !== null && this.open.every((one) => known.includes(this.nameOf(one)));
    } catch { return false; }
  },

  nameOf(one) {
    return [one.line_id, one.camera_id, one.incident, one.cause, one.since].join("|");
  },

  fold() {
    const folded = this.folded();
    try {
      if (folded) localStorage.removeItem(FOLDED);
      else localStorage.setItem(FOLDED, JSON.stringify(this.open.map((one) => this.nameOf(one))));
    } catch { /* a private window keeps nothing */ }
    this.show(this.open);
  },

  row(one) {
    const best = one.shown_by || (one.parts || []).at(-1);
    const picture = el("div", {class: "thumb"});
    if (best) {
      const image = el("img", {alt: tr("The part that shows it best, {part}", {part: best}), src: "/api/thumbnails/" + pathOf(best)});
      image.addEventListener("error", () => image.remove());
      picture.append(image);
    }
    const cause = one.camera_id ? "camera:" + one.camera_id : one.cause?.startsWith("gate_id=") ? null : one.cause; // no part has a gate as its cause
    const facts = [
      one.since ? tr("since {when}", {when: moment(new Date(one.since))}) + " (" + age(one.since) + ")" : null,
      one.parts_count ? tr("{count} parts", {count: one.parts_count}) : null,
    ].filter(Boolean);
    return el("li", {class: "incident"},
      best ? el("a", {href: "/parts/" + pathOf(best)}, picture) : picture,
      el("div", {class: "incident-what"}, el("b", {}, one.line_id || ""), " ", one.what,
        el("small", {}, facts.join(" · "))),
      cause ? el("a", {class: "button quiet", href: "/?" + (one.camera_id ? "camera=" + encodeURIComponent(one.camera_id) : "cause=" + encodeURIComponent(cause))}, tr("Waiting parts")) : null,
      one.containment ? el("a", {class: "button quiet", href: one.containment.replace("/api/containment", "/exposed")}, tr("All exposed parts")) : null);
  },
};

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("incidents-all").addEventListener("click", () => { incidents.all = !incidents.all; incidents.show(incidents.open); });
  document.getElementById("incidents-fold").addEventListener("click", () => incidents.fold());
  incidents.look();
  setInterval(() => { if (!document.hidden) incidents.look(); }, 5000);
});

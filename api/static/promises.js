"use strict";
// How the escape certificate of each gate stands: one line above the queue, which opens by itself when one becomes void.

const standingWords = {valid: (count) => tr("{count} valid", {count}), cannot_certify: (count) => tr("{count} not given", {count}), void: (count) => tr("{count} void", {count})};

const promises = {
  void: 0, // as shown last

  fold: () => document.getElementById("promises-fold"),

  show(overview) {
    const all = overview.certificates;
    this.fold().hidden = all.length === 0;
    const now = all.filter((one) => one.standing === "void").length;
    if (now > this.void) this.fold().open = true; // what a person must know does not stay folded
    this.void = now;
    sayIn(document, "#promises-said", this.summary(all));
    document.getElementById("promises").replaceChildren(...this.alike(all).map((same) => this.line(same)));
  },

  summary(all) {
    const counts = Object.entries(standingWords).map(([standing, words]) => [all.filter((one) => one.standing === standing).length, words]);
    const told = counts.filter(([count]) => count).map(([count, words]) => words(count)).join(", ");
    const conflict = all.some((one) => one.conflict) ? " · " + tr("the plan's limits cannot both be held") : "";
    return tr("Escape certificates: {standings}", {standings: told}) + conflict;
  },

  /** Gates of which the same is said stand together. */
  alike(all) {
    const found = new Map();
    for (const one of all) {
      const said = JSON.stringify([one.standing, one.said, one.since, one.conflict]);
      found.set(said, [...(found.get(said) || []), one]);
    }
    return [...found.values()];
  },

  line(same) {
    const [one] = same;
    return el("li", {class: one.standing, title: one.since ? moment(new Date(one.since)) : ""},
      el("b", {}, same.map((gate) => gate.line_id + " · " + gate.gate_id).join(", ")), " ", one.said,
      one.since ? el("small", {}, " " + tr("(since {when})", {when: moment(new Date(one.since))})) : null,
      one.conflict ? el("span", {class: "conflict"}, one.conflict) : null);
  },
};

document.addEventListener("DOMContentLoaded", () => road.listeners.push((overview) => promises.show(overview)));

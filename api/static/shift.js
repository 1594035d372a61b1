"use strict";
// What an empty queue shows: that the line is at work, and what I have decided today.

const SHIFT_MS = 10_000; // asked anew while the queue is empty

const shift = {
  asked: 0,
  shown: false,

  /** Within the empty queue; `wanted`: nothing at all waits. */
  show(wanted) {
    this.shown = wanted;
    document.getElementById("shift").hidden = !wanted;
    if (wanted && Date.now() - this.asked > SHIFT_MS) this.ask();
  },

  async ask() {
    this.asked = Date.now();
    const mine = await ask("/api/queue/mine?limit=5").catch(() => null);
    if (!mine || !this.shown) return; // a lost connection is told by the stream
    sayIn(document, "#shift-line", this.lineWords(mine.latest_judged_at));
    sayIn(document, "#shift-counts", this.countWords(mine));
    const list = document.getElementById("shift-list");
    if (!list.contains(document.activeElement)) list.replaceChildren(...mine.items.map((one) => this.row(one)));
    document.getElementById("shift-last").hidden = mine.items.length === 0;
  },

  /** An empty queue is good news only while parts are judged. */
  lineWords(latest) {
    return latest ? tr("The latest part was judged {age} ago.", {age: age(latest)}) : tr("No part has been judged yet.");
  },

  countWords(mine) {
    const count = mine.defect + mine.ok + mine.unsure;
    return count ? tr("You made {count} decisions today: {defect} defect, {ok} OK, {unsure} unsure.", {count, ...mine}) : tr("You have decided on no part today.");
  },

  row(one) {
    const words = {defect: tr("defect"), ok: tr("OK"), unsure: tr("unsure")};
    const address = "/parts/" + pathOf(one.part_id) + (one.gate_id ? "?gate=" + encodeURIComponent(one.gate_id) : "");
    return el("li", {}, el("a", {class: "target", href: address}, one.part_id), " ",
      el("span", {class: "state " + one.outcome}, words[one.outcome] || one.outcome), one.defect_code ? " " + one.defect_code : null,
      el("small", {}, " " + clockTime(new Date(one.recorded_at))));
  },
};

document.addEventListener("DOMContentLoaded", () => {
  setInterval(() => { if (shift.shown && !document.hidden) shift.ask(); }, SHIFT_MS);
});

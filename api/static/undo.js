"use strict";
// The last decisions of this window, and the key that takes them back, one after the other.

const UNDO_MS = 600_000; // as the server allows
const COUNTED_MS = 2500; // counts are shared by all screens and up to two seconds old
const UNDO_KEPT = 20; // more than anybody decides in that time with a look at each

const undo = {
  key: "qcfuse.last",

  remember(last) {
    this.keep([...this.all(), {...last, at: Date.now(), by: document.body.dataset.person}].slice(-UNDO_KEPT));
  },

  keep(all) {
    try { sessionStorage.setItem(this.key, JSON.stringify(all)); } catch { /* nothing is kept */ }
  },

  /** Those that may be taken back still, the latest last. */
  all() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.key) || "[]");
      const mine = (one) => one.by === document.body.dataset.person; // another may have logged in at this window
      return kept.filter((one) => mine(one) && Date.now() - one.at < UNDO_MS);
    } catch { return []; }
  },

  last() {
    return this.all().at(-1) ?? null;
  },

  forget() {
    try { sessionStorage.removeItem(this.key); } catch { /* nothing was kept */ }
    this.show();
  },

  show() {
    const last = this.last();
    const bar = document.getElementById("undo");
    bar.hidden = last === null;
    if (!last) return;
    const words = {defect: tr("defect"), ok: tr("OK"), unsure: tr("unsure"), wrong_part: tr("not the part shown")};
    const values = {part: last.part, outcome: words[last.outcome] || last.outcome, gates: (last.also || []).join(", ")};
    bar.querySelector("span").textContent = tr("{part} is recorded as {outcome}.", values) + (values.gates ? " " + tr("Settled at gate {gates} too.", values) : "");
  },

  async take() {
    const last = this.last();
    if (!last || this.taking) return;
    this.taking = true;
    try {
      await ask("/api/reviews/" + last.review_id + "/undo", {method: "POST"});
      this.keep(this.all().filter((one) => one.review_id !== last.review_id));
      location.href = "/parts/" + pathOf(last.part);
    } catch (error) {
      say(tr("Not taken back: {why}", {why: error.message}));
    } finally {
      this.taking = false;
    }
  },
};

/** How far the shift is, beside what was decided last: on a part, where no list tells it. */
async function showProgress() {
  if (!undo.last() || !document.getElementById("part")) return;
  let filter = "";
  try { filter = sessionStorage.getItem("qcfuse.filter") || ""; } catch { /* then of all that waits */ }
  const found = await ask("/api/queue?limit=1&" + filter).catch(() => null); // a lost connection is told elsewhere
  if (!found) return;
  sayIn(document, "#progress", tr("{waiting} waiting · {mine} by you today", {waiting: found.counts.waiting, mine: found.counts.done_by_me}));
}

document.addEventListener("DOMContentLoaded", () => {
  undo.show();
  showProgress();
  setTimeout(showProgress, COUNTED_MS);
  setInterval(() => undo.show(), 5000);
  document.querySelector("#undo button").addEventListener("click", () => undo.take());
  keys.on("undo", () => undo.take()); // the part page puts the undoing of marks before it
});

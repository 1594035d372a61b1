"use strict";
// The last decision of this window, and the key that takes it back.

const UNDO_MS = 600_000; // as the server allows

const undo = {
  key: "qcfuse.last",

  remember(last) {
    try { sessionStorage.setItem(this.key, JSON.stringify({...last, at: Date.now(), by: document.body.dataset.person})); } catch { /* nothing is kept */ }
  },

  last() {
    try {
      const last = JSON.parse(sessionStorage.getItem(this.key) || "null");
      const mine = last && last.by === document.body.dataset.person; // another may have logged in at this window
      return mine && Date.now() - last.at < UNDO_MS ? last : null;
    } catch { return null; }
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
      this.forget();
      location.href = "/parts/" + pathOf(last.part);
    } catch (error) {
      say(tr("Not taken back: {why}", {why: error.message}));
    } finally {
      this.taking = false;
    }
  },
};

document.addEventListener("DOMContentLoaded", () => {
  undo.show();
  setInterval(() => undo.show(), 5000);
  document.querySelector("#undo button").addEventListener("click", () => undo.take());
  keys.on("undo", () => undo.take()); // the part page puts the undoing of marks before it
});

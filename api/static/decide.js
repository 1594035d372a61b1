"use strict";
// Deciding: one key each, never recorded twice, taken back with one more key.

const RETRY_MS = [500, 1000, 2000, 4000, 8000];

const judged = page.dataset.judged === "1"; // by a gate

const decision = {
  pending: false,
  begun: performance.now(),

  form: () => document.getElementById("decide"),

  /** The key of one decision: however often it is sent, it is recorded once. */
  newKey() {
    return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  },

  body(outcome) {
    const form = this.form();
    const drawn = marks.forReview();
    const found = {
      defect_code: outcome === "defect" ? form.elements.defect_code.value : "",
      cause_code: outcome === "defect" ? form.elements.cause_code.value : "",
      comment: form.elements.comment.value,
      took_ms: Math.min(86_400_000, Math.round(performance.now() - this.begun)),
      ...(drawn.length ? {marks: drawn} : {}),
    };
    if (!judged) return found; // a report: no gate has said anything yet that could be decided on
    return {
      ...found,
      gate_id: gateId,
      outcome,
      closes: this.closes(),
      shown: {verdict_id: page.dataset.verdict, risk_shown: page.dataset.riskShown === "1"},
    };
  },

  /** The other gates at which the part waits: settled too, unless whoever decides goes gate by gate. */
  closes() {
    const all = document.getElementById("settles-all");
    return all?.checked ? JSON.parse(all.dataset.closes) : [];
  },

  async decide(outcome) {
    if (!this.form() || this.pending) return;
    if (marks.forReview().length && outcome !== "defect") {
      this.said(tr("Marks show a defect: press {key}, or clear them first.", {key: keys.of("defect").toUpperCase()}));
      return;
    }
    this.hold(true);
    this.said(tr("Recording…"));
    try {
      const answer = await this.send(this.body(outcome), this.newKey());
      marks.sent = true;
      this.pending = false;
      if (answer.told) told.remember({...answer.told, marks: marks.forReview().length});
      if (answer.told?.kind === "known") undo.forget(); // an exercise is over: there is nothing to take back
      else undo.remember({review_id: answer.review.review_id, part: partId, outcome, also: answer.review.also_at});
      this.said(tr("Recorded."));
      location.href = answer.next ? "/parts/" + pathOf(answer.next) : queueAddress();
    } catch (error) {
      this.said(tr("Not recorded: {why}", {why: error.message}), true);
      this.hold(false);
    }
  },

  /** Send until there is an answer: a lost connection, or a server in trouble, says nothing about what arrived. */
  async send(body, key) {
    for (let turn = 0; ; turn += 1) {
      try {
        return await ask("/api/parts/" + pathOf(partId) + (judged ? "/reviews?" : "/missed?") + this.filter(), {
          method: "POST",
          headers: {"Content-Type": "application/json", "Idempotency-Key": key},
          body: JSON.stringify(body),
        });
      } catch (error) {
        if (error.message === "logged out" || (error.status && error.status < 500)) throw error;
        const why = error.status ? error.message : tr("the connection is lost");
        this.said(tr("Not yet recorded: {why}. Trying again; leave this page open.", {why}), true);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(turn, RETRY_MS.length - 1)]));
      }
    }
  },

  /** What of the queue this person works off: the next part comes from there. */
  filter() {
    try { return sessionStorage.getItem("qcfuse.filter") || ""; } catch { return ""; }
  },

  hold(held) {
    this.pending = held;
    for (const button of this.form().querySelectorAll("button")) button.disabled = held;
  },

  said(sentence, failed = false) {
    const said = document.getElementById("said");
    said.textContent = sentence;
    said.classList.toggle("failed", failed);
  },

  /** Choose the n-th kind of defect. */
  kind(number) {
    const chip = document.querySelectorAll("#kinds [data-kind]")[number - 1];
    if (chip) this.choose(chip.dataset.kind);
  },

  choose(kind) {
    this.form().elements.defect_code.value = kind;
    this.showKind();
  },

  showKind() {
    const chosen = this.form().elements.defect_code.value;
    for (const chip of document.querySelectorAll("#kinds [data-kind]")) chip.setAttribute("aria-pressed", chip.dataset.kind === chosen);
  },
};

document.addEventListener("DOMContentLoaded", () => {
  const form = decision.form();
  if (!form) return;
  form.addEventListener("submit", (event) => event.preventDefault());
  new ResizeObserver(() => document.documentElement.style.setProperty("--decide", form.offsetHeight + "px")).observe(form);
  form.elements.defect_code.addEventListener("input", () => decision.showKind());
  for (const button of form.querySelectorAll("[data-outcome]")) {
    button.addEventListener("click", () => decision.decide(button.dataset.outcome));
    keys.on(button.dataset.outcome, () => decision.decide(button.dataset.outcome));
  }
  for (const chip of document.querySelectorAll("#kinds [data-kind]")) {
    chip.addEventListener("click", () => decision.choose(chip.dataset.kind));
  }
  keys.on("kind", (number) => decision.kind(number));
  keys.on("settles_all", () => document.getElementById("settles-all")?.click());
  keys.on("comment", () => form.elements.comment.focus());
  window.addEventListener("beforeunload", (event) => { if (decision.pending) event.preventDefault(); });
});

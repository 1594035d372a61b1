"use strict";
// What was not shown before a decision: what the model had said of a blind part, or that a part was an exercise.
// Told on the page that follows, once.

const told = {
  key: "qcfuse.told",

  remember(told) {
    try { sessionStorage.setItem(this.key, JSON.stringify({...told, to: document.body.dataset.person})); } catch { /* it is then not told */ }
  },

  take() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.key) || "null");
      sessionStorage.removeItem(this.key);
      return kept && kept.to === document.body.dataset.person ? kept : null;
    } catch { return null; }
  },

  words(outcome) {
    return {defect: tr("defect"), ok: tr("OK"), unsure: tr("unsure")}[outcome] || outcome;
  },

  /** What the model had said, in a sentence. */
  model(one) {
    if (one.risk === null) return tr("No model had spoken on it.");
    const said = one.model_said ? this.words(one.model_said) : "–";
    if (!one.causes.length) return tr("The model had said {said}: {risk} likely defective.", {said, risk: percent(one.risk)});
    return tr("The model had said {said}: {risk} likely defective, because of {causes}.", {said, risk: percent(one.risk), causes: one.causes.slice(0, 3).map(causeWords).join(", ")});
  },

  sentences(one) {
    const said = this.words(one.said);
    if (one.kind === "known") {
      const right = one.said === one.truth;
      return [
        right ? tr("{part} was an exercise, and you were right: {truth}.", {part: one.part_id, truth: this.words(one.truth)})
          : tr("{part} was an exercise: you said {said}, it is {truth}.", {part: one.part_id, said, truth: this.words(one.truth)}),
        one.reason ? tr("Known by: {reason}.", {reason: one.reason}) : "",
        one.marks ? tr("Nothing was recorded about the part; the marks you drew are not kept.") : tr("Nothing was recorded about the part."),
      ];
    }
    return [tr("{part} was shown without the model's word. You said {said}.", {part: one.part_id, said}), this.model(one)];
  },

  show() {
    const one = this.take();
    if (!one) return;
    const close = el("button", {type: "button", class: "quiet"}, tr("Close"));
    const bar = el("div", {class: "banner told", role: "status"}, el("span", {}, this.sentences(one).filter(Boolean).join(" ")), " ",
      el("a", {href: "/parts/" + pathOf(one.part_id)}, tr("Look at it again")), " ", close);
    close.addEventListener("click", () => bar.remove());
    document.querySelector("main").prepend(bar);
  },
};

document.addEventListener("DOMContentLoaded", () => told.show());

"use strict";
// Is the road at work, and in which mode? Told by a frame around the whole screen and a sentence on what to do now.

const ANSWER_MS = 8000; // an answer that takes longer is none: the connection is told as lost

const road = {
  lostSince: null,
  listeners: [],
  mode: null,
  told: {manual: false, stopped: false, missing: false},

  setLost(lost) {
    const strip = document.getElementById("lost");
    if (lost && !this.lostSince) {
      this.lostSince = new Date();
      strip.querySelector("b").textContent = tr("Connection lost since {time}.", {time: clockTime(this.lostSince)});
    }
    if (!lost) this.lostSince = null;
    strip.hidden = !lost;
    document.body.classList.toggle("is-lost", lost);
    this.frame();
  },

  /** A server that takes the question and does not answer is as lost as one that is not there. */
  async look() {
    try {
      const overview = await ask("/api/overview", {signal: AbortSignal.timeout(ANSWER_MS)});
      this.setLost(false);
      this.show(overview);
      for (const listener of this.listeners) listener(overview);
    } catch (error) {
      if (error.message !== "logged out" && error.status !== 403) this.setLost(true); // 403: not open yet, but there
    }
  },

  show(overview) {
    const sign = document.getElementById("road");
    const whole = overview.troubles.length === 0;
    sign.className = "road " + (whole ? "whole" : "broken");
    sign.querySelector("span").textContent = whole ? tr("Road works") : tr("Road broken");
    this.showTroubles(overview, whole);
    this.showMissing(overview.model_missing);
    this.showMode(overview.mode);
    this.frame();
  },

  showTroubles(overview, whole) {
    const strip = document.getElementById("trouble");
    const noModel = "(" + overview.model_missing + ")"; // has a strip of its own
    const wrong = overview.going_wrong; // the queue has a card of each; elsewhere how many there are is enough
    const told = overview.troubles.concat(overview.notices.filter((one) => !wrong.includes(one) && (!overview.model_missing || !one.endsWith(noModel))));
    if (wrong.length && !document.getElementById("incidents")) told.push(tr("{count} incidents are open: see the flagged parts.", {count: wrong.length}));
    const since = overview.stopped_since;
    this.told.stopped = !whole;
    strip.hidden = told.length === 0;
    strip.className = "banner " + (whole ? "note" : "trouble");
    sayIn(strip, "b", whole ? tr("Take note.") : since
      ? tr("No new verdicts since {time}.", {time: moment(new Date(since))})
      : tr("The road is not whole."));
    sayIn(strip, "span", told.join(" · "));
    sayIn(strip, "em", whole ? "" : tr("Parts that leave the line now are not judged: inspect them as your work instruction says, and tell whoever looks after qcfuse."));
  },

  showMissing(why) {
    const strip = document.getElementById("no-model");
    this.told.missing = Boolean(why);
    strip.hidden = !why;
    sayIn(strip, "span", why ? "(" + why + ")" : "");
  },

  showMode(view) {
    this.mode = view.mode;
    const stopped = view.lines.filter((line) => line.mode === "manual");
    this.told.manual = stopped.length > 0;
    const strip = document.getElementById("manual");
    strip.hidden = stopped.length === 0;
    if (stopped.length) sayIn(strip, "span", this.whoStopped(stopped, stopped.length === view.lines.length));
    const button = document.getElementById("mode-button");
    if (!button) return;
    button.hidden = stopped.length > 0 && document.body.dataset.mayResume !== "1";
    button.textContent = stopped.length ? tr("Back to automatic") : tr("Stop: go manual");
  },

  whoStopped(stopped, all) {
    const [{by, reason, at}] = stopped;
    const values = {lines: stopped.map((line) => line.line_id).join(", "), name: by, why: reason};
    const where = all ? tr("on every line") : tr("on {lines}", values);
    const who = by ? tr("ordered by {name}", values) + (reason ? " (" + reason + ")" : "") : "";
    const since = at ? tr("since {time}", {time: moment(new Date(at))}) : "";
    return [where, who, since].filter(Boolean).join(", ") + ".";
  },

  /** The frame says the gravest of what is told; a pattern and a word, not only a colour. */
  frame() {
    const state = this.lostSince ? "lost" : this.told.stopped ? "stopped" : this.told.manual ? "manual" : this.told.missing ? "missing" : "";
    const words = {lost: tr("Connection lost"), stopped: tr("Road broken"), manual: tr("Manual mode"), missing: tr("No model")};
    document.body.dataset.state = state;
    document.getElementById("state-word").textContent = words[state] || "";
  },

  ask() {
    const manual = this.mode === "manual";
    const dialog = document.getElementById("mode-dialog");
    sayIn(dialog, "h2", manual ? tr("Back to automatic") : tr("Stop: go manual"));
    sayIn(dialog, "#mode-question", manual
      ? tr("qcfuse will pass parts by itself again.")
      : tr("Every part will go to a person until somebody orders automatic again."));
    sayIn(dialog, ".primary", manual ? tr("Go automatic") : tr("Stop now"));
    sayIn(dialog, "#mode-said", "");
    dialog.querySelector("textarea").value = "";
    dialog.showModal();
  },

  async order(event) {
    event.preventDefault();
    const dialog = document.getElementById("mode-dialog");
    try {
      await ask("/api/control/mode", {
        method: "POST",
        headers: {"Content-Type": "application/json"},
        body: JSON.stringify({mode: this.mode === "manual" ? "auto" : "manual", reason: dialog.querySelector("textarea").value.trim()}),
      });
      dialog.close();
      setTimeout(() => this.look(), 400);
    } catch (error) {
      sayIn(dialog, "#mode-said", tr("The order was not given: {why}", {why: error.message}));
    }
  },
};

/** Put a sentence in its place; one that stands there already is not read out again. */
function sayIn(root, selector, sentence) {
  const place = root.querySelector(selector);
  if (place.textContent !== sentence) place.textContent = sentence;
}

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("mode-button")?.addEventListener("click", () => road.ask());
  document.getElementById("mode-form")?.addEventListener("submit", (event) => road.order(event));
  document.getElementById("mode-cancel")?.addEventListener("click", () => document.getElementById("mode-dialog").close());
  road.look();
  setInterval(() => road.look(), 2000);
});

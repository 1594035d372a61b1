"use strict";
// Keys: what each does, remappable by whoever sits here; and the hand scanner, which types a code and Enter.
//
// A scanner types faster than any hand. A key therefore waits for the blink of an eye before it acts: when others follow
// at once it was the beginning of a code, and a code must never decide anything.

const SCAN_MS = 40; // between two keys of a scanner; a hand needs more than twice as long
const CODE_CHARACTERS_MIN = 3;

const keys = {
  usual: {
    defect: ["d", tr("Defect")], ok: ["o", tr("OK")], unsure: ["u", tr("Unsure")], wrong_part: ["w", tr("Not the part shown")],
    settles_all: ["e", tr("Settle all gates of the part, or this one alone")], comment: ["c", tr("Write a comment")], undo: ["z", tr("Undo the last decision, or the last mark")],
    heatmap: ["h", tr("Heatmap on and off")], heat_less: [",", tr("Heatmap fainter")], heat_more: [".", tr("Heatmap stronger")],
    regions: ["b", tr("Regions on and off")],
    brush: ["m", tr("Brush")], box: ["r", tr("Box")], take: ["t", tr("Take the eye's regions as marks")],
    zoom_in: ["+", tr("Closer")], zoom_out: ["-", tr("Further away")], fit: ["0", tr("The whole picture")],
    side: ["s", tr("All cameras side by side")], compare: ["g", tr("A good part laid over this one")],
    skip: ["n", tr("The next part for me, without deciding on this one")], before: ["p", tr("The part looked at before this one")], next: ["j", tr("Next row")], previous: ["k", tr("Previous row")], find: ["/", tr("Find a part")], keys: ["?", tr("These keys")],
  },
  own: {},
  acts: {},
  typed: [],
  timer: 0,

  on(action, act) {
    this.acts[action] = act;
  },

  of(action) {
    return this.own[action] ?? this.usual[action][0];
  },

  load() {
    try { this.own = JSON.parse(localStorage.getItem("qcfuse.keys") || "{}"); } catch { this.own = {}; }
    this.show();
  },

  /** Give an action another key. Returns why not, or "". */
  set(action, key) {
    if (key.length !== 1 || key === " " || /[1-9]/.test(key)) return tr("A key is one letter or sign; the digits choose the kind.");
    const taken = Object.keys(this.usual).find((other) => other !== action && this.of(other) === key.toLowerCase());
    if (taken) return tr("{key} is taken: {label}.", {key: key.toUpperCase(), label: this.usual[taken][1]});
    this.own[action] = key.toLowerCase();
    try { localStorage.setItem("qcfuse.keys", JSON.stringify(this.own)); } catch { /* a private window keeps nothing */ }
    this.show();
    return "";
  },

  show() {
    for (const sign of document.querySelectorAll("kbd[data-action]")) sign.textContent = this.of(sign.dataset.action).toUpperCase();
  },

  pressed(event) {
    if (typing(event) || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && this.typed.length >= CODE_CHARACTERS_MIN) {
      event.preventDefault();
      const code = this.typed.join("");
      this.forget();
      openPart(code);
    } else if (event.key.length === 1 && !event.repeat) {
      if (event.key === "/") event.preventDefault(); // Firefox would search the page
      this.typed.push(event.key);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.act(), SCAN_MS);
    }
  },

  act() {
    const typed = this.typed;
    this.forget();
    if (typed.length >= CODE_CHARACTERS_MIN) return; // a code cut short: the scanner's, not a hand's
    for (const key of typed) {
      if (/[1-9]/.test(key) && this.acts.kind) this.acts.kind(Number(key));
      const action = Object.keys(this.usual).find((name) => this.of(name) === key.toLowerCase());
      if (action && this.acts[action]) this.acts[action]();
    }
  },

  forget() {
    clearTimeout(this.timer);
    this.typed = [];
  },

  ask() {
    const dialog = document.getElementById("keys-dialog");
    const said = dialog.querySelector("[role=status]");
    said.textContent = "";
    dialog.querySelector("tbody").replaceChildren(...Object.entries(this.usual).map(([action, [, label]]) => {
      const field = el("input", {value: this.of(action).toUpperCase(), size: 2, "aria-label": label, autocomplete: "off"});
      field.addEventListener("focus", () => field.select());
      field.addEventListener("input", () => {
        said.textContent = field.value ? this.set(action, field.value.slice(-1)) : "";
        field.value = this.of(action).toUpperCase();
        field.select();
      });
      return el("tr", {}, el("th", {scope: "row"}, label), el("td", {}, field));
    }));
    dialog.showModal();
  },
};

/** Open the part with this code, or say that nobody knows it and stay. */
async function openPart(code) {
  try {
    await ask("/api/parts/" + pathOf(code));
    location.href = "/parts/" + pathOf(code);
  } catch (error) {
    if (error.message !== "logged out") say(tr("{code}: {why}. Scan it again, or wait until its first record has come.", {code, why: error.message}));
  }
}

/** The next part for whoever sits here, within his filters; not the one that is open. */
async function openNext(open) {
  try {
    const query = new URLSearchParams(sessionStorage.getItem("qcfuse.filter") || "");
    if (open) query.set("behind", open);
    const found = await ask("/api/next?" + query);
    if (found.part_id) location.href = "/parts/" + pathOf(found.part_id) + (found.gate_id ? "?gate=" + encodeURIComponent(found.gate_id) : "");
    else say(tr("No other part waits for you."));
  } catch (error) {
    if (error.message !== "logged out") say(tr("No next part: {why}", {why: error.message}));
  }
}

/** One sentence at the bottom of the screen, for a while. */
function say(sentence) {
  const toast = document.getElementById("toast");
  toast.textContent = sentence;
  toast.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { toast.hidden = true; }, 8000);
}

document.addEventListener("DOMContentLoaded", () => {
  keys.load();
  keys.on("keys", () => keys.ask());
  const open = document.getElementById("part");
  if (open || document.getElementById("queue")) keys.on("skip", () => openNext(open?.dataset.part));
  if (open) keys.on("before", () => history.back());
  document.getElementById("skip-part")?.addEventListener("click", () => openNext(open.dataset.part));
  document.addEventListener("keydown", (event) => keys.pressed(event));
  for (const button of document.querySelectorAll("[data-open-keys]")) button.addEventListener("click", () => keys.ask());
});

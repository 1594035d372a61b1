"use strict";
// Looking closer: zoom to single pixels, pan, all cameras side by side, a good part laid over this one.

const ZOOM_MAX = 40;
const ZOOM_STEP = 1.25;

class View {
  constructor(picture) {
    this.picture = picture;
    this.stack = picture.querySelector(".stack");
    this.fingers = new Map();
    this.fit();
    picture.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, event.clientX, event.clientY);
    }, {passive: false});
    picture.addEventListener("dblclick", (event) => {
      if (marks.tool) return;
      if (this.scale > 1) this.fit();
      else this.zoom(this.toPixels(), event.clientX, event.clientY);
    });
    picture.addEventListener("pointerdown", (event) => this.down(event));
    picture.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
      picture.addEventListener(name, (event) => this.fingers.delete(event.pointerId));
    }
  }

  fit() {
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.show();
  }

  /** How much larger one pixel of the frame must get to be one of the screen. */
  toPixels() {
    const photo = this.stack.querySelector(".photo");
    return Math.max(2, photo && photo.naturalWidth ? photo.naturalWidth / this.stack.offsetWidth : 2);
  }

  /** Zoom by a factor about a point of the window, which stays where it is. */
  zoom(factor, clientX, clientY) {
    const scale = Math.min(ZOOM_MAX, Math.max(1, this.scale * factor));
    const box = this.picture.getBoundingClientRect();
    const [atX, atY] = [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
    this.x = atX - (atX - this.x) * (scale / this.scale);
    this.y = atY - (atY - this.y) * (scale / this.scale);
    this.scale = scale;
    this.show();
  }

  /** Zoom about the middle. */
  step(factor) {
    const box = this.picture.getBoundingClientRect();
    this.zoom(factor, box.left + box.width / 2, box.top + box.height / 2);
  }

  down(event) {
    if (marks.tool && this.fingers.size === 0) return; // the brush draws
    this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.scale > 1) event.preventDefault();
  }

  move(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const at = [event.clientX, event.clientY];
    const other = [...this.fingers].find(([id]) => id !== event.pointerId);
    if (other) {
      const apart = (one, two) => Math.hypot(one[0] - two[0], one[1] - two[1]);
      this.zoom(apart(at, other[1]) / Math.max(1, apart(before, other[1])), (at[0] + other[1][0]) / 2, (at[1] + other[1][1]) / 2);
    } else if (this.scale > 1) {
      this.x += at[0] - before[0];
      this.y += at[1] - before[1];
      this.show();
    }
    this.fingers.set(event.pointerId, at);
  }

  show() {
    const [farX, farY] = [this.stack.offsetWidth, this.stack.offsetHeight].map((size) => (size * (this.scale - 1)) / 2);
    this.x = Math.min(farX, Math.max(-farX, this.x));
    this.y = Math.min(farY, Math.max(-farY, this.y));
    this.stack.style.transform = this.scale > 1 ? `translate(${this.x}px, ${this.y}px) scale(${this.scale})` : "";
    this.picture.classList.toggle("zoomed", this.scale > 1);
    this.picture.classList.toggle("pixels", this.scale >= 2 * this.toPixels());
  }
}

const viewer = {
  views: [],

  /** Of the picture that is shown; of all, side by side. */
  each(act) {
    for (const view of this.views) if (view.picture.offsetParent) act(view);
  },

  sideBySide() {
    const on = document.querySelector(".look").classList.toggle("side-by-side");
    document.getElementById("side-by-side").setAttribute("aria-pressed", on);
    choose(document.querySelector(".cameras [aria-selected=true]").dataset.frame);
    for (const view of this.views) view.fit();
  },

  compare() {
    const on = document.querySelector(".look").classList.toggle("comparing");
    document.getElementById("compare").setAttribute("aria-pressed", on);
    document.getElementById("wipe").hidden = !on;
  },
};

/** One click from a cause to what speaks for it: the camera, the curve, or the visit. */
function showEvidence(cause) {
  const side = cause.split(" & ")[0];
  const attribute = "[data-value=" + CSS.escape(side) + "]";
  const camera = side.startsWith("camera:") ? side.slice(7).split("/")[0].split("@")[0] : null;
  const tab = camera && document.querySelector(".cameras [data-camera=" + CSS.escape(camera) + "]");
  if (tab) choose(tab.dataset.frame);
  const found = tab ? document.querySelector(".look")
    : document.querySelector("[data-channel=" + CSS.escape(side) + "]") || document.querySelector(attribute);
  if (!found) return say(tr("Nothing on this page shows {cause} by itself.", {cause}));
  found.scrollIntoView({block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"});
  found.classList.remove("pointed-at");
  requestAnimationFrame(() => found.classList.add("pointed-at"));
}

document.addEventListener("DOMContentLoaded", () => {
  viewer.views = [...document.querySelectorAll(".picture")].map((picture) => new View(picture));
  keys.on("zoom_in", () => viewer.each((view) => view.step(ZOOM_STEP ** 2)));
  keys.on("zoom_out", () => viewer.each((view) => view.step(1 / ZOOM_STEP ** 2)));
  keys.on("fit", () => viewer.each((view) => view.fit()));
  for (const [id, action, act] of [["side-by-side", "side", () => viewer.sideBySide()], ["compare", "compare", () => viewer.compare()]]) {
    const button = document.getElementById(id);
    if (!button) continue;
    button.addEventListener("click", act);
    keys.on(action, act);
  }
  const wipe = document.getElementById("wipe");
  wipe?.addEventListener("input", () => document.querySelector(".look").style.setProperty("--wipe", wipe.value + "%"));
  for (const button of document.querySelectorAll("[data-cause]")) button.addEventListener("click", () => showEvidence(button.dataset.cause));
});

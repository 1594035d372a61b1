"use strict";
// Brush and box over the photo: marks in pixels of the frame as it came, sent with the review.

const marks = {
  limits: {marks: 50, points: 2000, all: 20000}, // those of the door (ingest/decode/checks.py)
  drawn: [], // {mark: as the review takes it, node: as it is shown}
  tool: null,
  active: null, // what is being drawn right now
  counts: null, // null: not known yet; false: could not be asked
  sent: false,

  start() {
    this.bar = document.getElementById("mark-tools");
    if (!this.bar) return;
    this.width = document.getElementById("mark-width");
    this.width.addEventListener("input", () => this.showWidth());
    for (const button of this.bar.querySelectorAll("[data-tool]")) button.addEventListener("click", () => this.choose(button.dataset.tool));
    document.getElementById("mark-undo").addEventListener("click", () => this.undo());
    document.getElementById("mark-clear").addEventListener("click", () => this.clear());
    document.getElementById("mark-take").addEventListener("click", () => this.take());
    for (const drawing of document.querySelectorAll("svg.marks")) {
      drawing.addEventListener("pointerdown", (event) => this.begin(event, drawing));
      drawing.addEventListener("pointermove", (event) => this.go(event));
      drawing.addEventListener("pointerup", (event) => this.end(event));
      drawing.addEventListener("pointercancel", (event) => this.drop(event));
    }
    document.querySelector("#decide [name=defect_code]").addEventListener("input", () => this.show());
    addEventListener("beforeunload", (event) => { if (this.drawn.length && !this.sent) event.preventDefault(); });
    this.ask();
    this.show();
  },

  async ask() {
    try {
      this.counts = (await ask("/api/marks?limit=1")).counts;
      const codes = document.getElementById("defect-codes");
      const known = new Set([...codes.children].map((option) => option.textContent));
      for (const kind of new Set(this.counts.map((count) => count.kind))) if (kind && !known.has(kind)) codes.append(el("option", {}, kind));
    } catch {
      this.counts = false;
    }
    this.show();
  },

  // The picture has come: from now on it can be drawn on.
  ready(photo) {
    const drawing = photo.parentElement.querySelector(".marks");
    if (!drawing) return;
    drawing.setAttribute("viewBox", `0 0 ${photo.naturalWidth} ${photo.naturalHeight}`);
    drawing.dataset.width = photo.naturalWidth;
    drawing.dataset.height = photo.naturalHeight;
    if (this.bar && drawing === this.current()) this.fitWidth(drawing);
  },

  current() {
    return document.querySelector("figure.frame:not([hidden]) svg.marks");
  },

  turned() {
    const drawing = this.current();
    if (this.bar && drawing && drawing.dataset.width) this.fitWidth(drawing);
    if (this.bar) this.show();
  },

  fitWidth(drawing) {
    const side = Math.min(drawing.dataset.width, drawing.dataset.height);
    if (this.width.dataset.side === String(side)) return;
    this.width.dataset.side = side;
    this.width.max = Math.max(8, Math.round(side / 3));
    this.width.value = Math.max(3, Math.round(side / 24));
    this.showWidth();
  },

  showWidth() {
    document.getElementById("mark-width-px").textContent = this.width.value + " px";
  },

  choose(tool) {
    if (!this.bar) return;
    this.drop();
    this.tool = this.tool === tool ? null : tool;
    document.body.dataset.tool = this.tool || "";
    for (const button of this.bar.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === this.tool);
  },

  // Escape puts the brush down before it leaves the page. Was there one?
  putDown() {
    if (!this.tool) return false;
    this.choose(this.tool);
    return true;
  },

  place(event, drawing) {
    const shown = drawing.getBoundingClientRect();
    const within = (share, size) => Math.min(Math.max(Math.round(share * size * 10) / 10, 0), size);
    return [
      within((event.clientX - shown.left) / shown.width, Number(drawing.dataset.width)),
      within((event.clientY - shown.top) / shown.height, Number(drawing.dataset.height)),
    ];
  },

  begin(event, drawing) {
    if (!this.tool || this.active || event.button !== 0 || !event.isPrimary || !drawing.dataset.width) return;
    const points = this.drawn.reduce((sum, one) => sum + (one.mark.stroke ? one.mark.stroke.points.length : 0), 0);
    if (this.drawn.length >= this.limits.marks || points + this.limits.points > this.limits.all) {
      return this.say(tr("{count} marks are as many as go with one review.", {count: this.drawn.length}));
    }
    event.preventDefault();
    drawing.setPointerCapture(event.pointerId);
    const at = this.place(event, drawing);
    const node = document.createElementNS("http://www.w3.org/2000/svg", this.tool === "brush" ? "polyline" : "rect");
    node.setAttribute("class", "mark " + this.tool);
    drawing.append(node);
    this.active = {drawing, node, pointer: event.pointerId, points: [at], width: Number(this.width.value), tool: this.tool};
    this.trace();
  },

  go(event) {
    if (!this.active || event.pointerId !== this.active.pointer) return;
    const points = this.active.points;
    if (this.active.tool === "box") {
      points[1] = this.place(event, this.active.drawing);
    } else {
      const passed = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const moved of passed.length ? passed : [event]) this.lengthen(this.place(moved, this.active.drawing));
    }
    this.trace();
  },

  lengthen(at) {
    const points = this.active.points;
    const last = points[points.length - 1];
    const step = Math.max(1, this.active.width / 8); // a finer line would look the same
    if (points.length < this.limits.points && Math.hypot(at[0] - last[0], at[1] - last[1]) >= step) points.push(at);
  },

  trace() {
    const {node, points, width, tool} = this.active;
    if (tool === "brush") {
      // a line of one point has no length, and would not be drawn
      const line = points.length > 1 ? points : [points[0], [points[0][0] + 0.01, points[0][1]]];
      node.setAttribute("points", line.map((at) => at.join(",")).join(" "));
      node.setAttribute("stroke-width", width);
    } else {
      for (const [name, value] of Object.entries(this.boxOf(this.active))) node.setAttribute(name, value);
    }
  },

  boxOf({points}) {
    const [first, last] = [points[0], points[1] || points[0]].map((at) => at.map(Math.round)); // a picture's sides are whole
    const [x, y] = [Math.min(first[0], last[0]), Math.min(first[1], last[1])];
    return {x, y, width: Math.max(first[0], last[0]) - x, height: Math.max(first[1], last[1]) - y};
  },

  end(event) {
    if (!this.active || event.pointerId !== this.active.pointer) return;
    this.go(event);
    const {drawing, node, points, width, tool} = this.active;
    const mark = {camera_id: drawing.dataset.camera, frame_id: drawing.dataset.frameId};
    if (tool === "brush") mark.stroke = {points, width_px: width};
    else mark.box = this.boxOf(this.active);
    this.active = null;
    if (mark.box && (mark.box.width < 2 || mark.box.height < 2)) return node.remove(); // a click, not a box
    this.drawn.push({mark, node});
    this.show();
  },

  drop(event) {
    if (!this.active || (event && event.pointerId !== this.active.pointer)) return;
    this.active.node.remove();
    this.active = null;
  },

  // What the eye saw in this frame is right: its regions are marks, with one key and no pointer.
  take() {
    const drawing = this.current();
    if (!drawing || !drawing.dataset.width) return;
    const {camera: camera_id, frameId: frame_id} = drawing.dataset;
    for (const region of drawing.parentElement.querySelectorAll(".boxes rect")) {
      const box = {};
      for (const side of ["x", "y", "width", "height"]) box[side] = Number(region.getAttribute(side));
      const same = (one) => one.mark.frame_id === frame_id && JSON.stringify(one.mark.box) === JSON.stringify(box);
      if (this.drawn.length >= this.limits.marks || this.drawn.some(same)) continue;
      const node = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [name, value] of Object.entries({class: "mark box", ...box})) node.setAttribute(name, value);
      drawing.append(node);
      this.drawn.push({mark: {camera_id, frame_id, box}, node});
    }
    this.show();
  },

  undo() {
    this.drop();
    const last = this.drawn.pop();
    if (last) last.node.remove();
    this.show();
  },

  clear() {
    this.drop();
    for (const one of this.drawn.splice(0)) one.node.remove();
    this.show();
  },

  // The marks as the review takes them.
  forReview() {
    return this.drawn.map((one) => one.mark);
  },

  say(sentence) {
    document.getElementById("mark-said").textContent = sentence;
  },

  show() {
    if (!this.bar) return;
    const drawing = this.current();
    document.getElementById("mark-undo").disabled = document.getElementById("mark-clear").disabled = !this.drawn.length;
    document.getElementById("mark-take").disabled = !drawing || !drawing.parentElement.querySelector(".boxes rect");
    if (!drawing) return this.say(tr("This camera's picture was not kept: it cannot be marked."));
    const camera = drawing.dataset.camera;
    const here = this.drawn.filter((one) => one.mark.camera_id === camera).length;
    const kind = document.querySelector("#decide [name=defect_code]").value.trim();
    const told = this.drawn.length ? [tr("{count} marks drawn, kept with {key}.", {count: this.drawn.length, key: keys.of("defect").toUpperCase()})] : [];
    if (!kind) told.push(this.drawn.length ? tr("Name the defect below, so that the eye learns its kind.") : tr("Draw over a defect to teach the eye its kind."));
    else if (this.counts === false) told.push(tr("How many marks there are already cannot be said just now."));
    else if (this.counts) told.push(this.progress(kind, camera, here));
    this.say(told.join(" "));
  },

  progress(kind, camera, here) {
    const known = this.counts.find((count) => count.kind === kind && count.camera_id === camera);
    const [before, needed] = [known ? known.marks : 0, Number(this.bar.dataset.needed)];
    const values = {kind, camera, before, needed, all: before + here};
    if (before + here >= needed) {
      return here ? tr("Marks of {kind} so far on camera {camera}: {before}, {all} with these; {needed} are enough to teach the eye.", values)
        : tr("Marks of {kind} so far on camera {camera}: {before}; {needed} are enough to teach the eye.", values);
    }
    return here ? tr("Marks of {kind} so far on camera {camera}: {before} of {needed} needed to teach the eye, {all} with these.", values)
      : tr("Marks of {kind} so far on camera {camera}: {before} of {needed} needed to teach the eye.", values);
  },
};

document.addEventListener("DOMContentLoaded", () => marks.start());

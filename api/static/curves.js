"use strict";
// Reading a sensor curve: the value under the pointer, or step by step with the arrow keys, against the band of good parts.

class ReadOut {
  constructor(field) {
    this.field = field;
    const numbers = (name) => (field.dataset[name] ? field.dataset[name].split(" ").map((one) => (one === "-" ? null : Number(one))) : []);
    [this.seconds, this.values, this.low, this.high] = ["seconds", "values", "low", "high"].map(numbers);
    this.at = 0;
    this.line = field.querySelector(".reader");
    this.output = field.closest("figure").querySelector("output");
    field.addEventListener("pointermove", (event) => this.point(event));
    field.addEventListener("pointerdown", (event) => this.point(event));
    field.addEventListener("pointerleave", () => { if (document.activeElement !== field) this.hide(); });
    field.addEventListener("focus", () => this.read(this.at));
    field.addEventListener("blur", () => this.hide());
    field.addEventListener("keydown", (event) => this.key(event));
  }

  point(event) {
    const box = this.field.getBoundingClientRect();
    this.read(Math.round(((event.clientX - box.left) / box.width) * (this.values.length - 1)));
  }

  key(event) {
    const last = this.values.length - 1;
    const to = {
      ArrowRight: this.at + 1, ArrowLeft: this.at - 1, ArrowUp: this.at + 1, ArrowDown: this.at - 1,
      PageUp: this.at + 10, PageDown: this.at - 10, Home: 0, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.read(to);
  }

  read(to) {
    const last = this.values.length - 1;
    this.at = Math.min(last, Math.max(0, to));
    this.line.hidden = false;
    this.line.style.left = (last ? (100 * this.at) / last : 50) + "%";
    const said = this.said();
    this.output.textContent = said;
    this.field.setAttribute("aria-valuenow", this.at);
    this.field.setAttribute("aria-valuetext", said);
  }

  said() {
    const [value, low, high] = [this.values, this.low, this.high].map((list) => list[this.at] ?? null);
    const time = this.seconds.length ? tr("{seconds} s: ", {seconds: decimal(this.seconds[this.at])}) : "";
    if (value === null) return time + tr("no sample");
    const unit = this.field.dataset.unit;
    const band = low === null || high === null ? ""
      : value < low || value > high ? tr(", outside {low} to {high}", {low, high}) : tr(", within {low} to {high}", {low, high});
    return time + decimal(value) + (unit ? " " + unit : "") + band;
  }

  hide() {
    this.line.hidden = true;
    this.output.textContent = "";
  }
}

document.addEventListener("DOMContentLoaded", () => {
  for (const field of document.querySelectorAll(".plot .field")) new ReadOut(field);
});

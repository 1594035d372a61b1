"use strict";
// One part: the picture with what vision saw in it, and the keys that decide.

const page = document.getElementById("part");
const partId = page.dataset.part;
const gateId = page.dataset.gate;
let deciding = false;

function kept(name, fallback) {
  try { return localStorage.getItem("qcfuse." + name) ?? fallback; } catch { return fallback; }
}

function keep(name, value) {
  try { localStorage.setItem("qcfuse." + name, value); } catch { /* a private window keeps nothing */ }
}

function showOverlay() {
  const heat = document.getElementById("show-heat");
  const opacity = document.getElementById("heat-opacity");
  const boxes = document.getElementById("show-boxes");
  if (!heat) return;
  for (const image of document.querySelectorAll(".heat")) {
    image.hidden = !heat.checked;
    image.style.opacity = opacity.value / 100;
  }
  for (const drawing of document.querySelectorAll(".boxes")) drawing.style.display = boxes.checked ? "" : "none";
  keep("heat", heat.checked);
  keep("opacity", opacity.value);
  keep("boxes", boxes.checked);
}

function fitBoxes(photo) {
  const drawing = photo.parentElement.querySelector(".boxes");
  if (!photo.naturalWidth) return;
  drawing.setAttribute("viewBox", `0 0 ${photo.naturalWidth} ${photo.naturalHeight}`);
  photo.parentElement.style.setProperty("--ratio", photo.naturalWidth / photo.naturalHeight);
  marks.ready(photo);
}

function choose(frame) {
  for (const tab of document.querySelectorAll(".cameras [data-frame]")) tab.setAttribute("aria-selected", tab.dataset.frame === frame);
  for (const figure of document.querySelectorAll("figure.frame")) figure.hidden = figure.dataset.frame !== frame;
  marks.turned();
}

async function decide(outcome) {
  const form = document.getElementById("decide");
  if (!form || deciding) return;
  const said = document.getElementById("said");
  const drawn = marks.forReview();
  if (drawn.length && outcome !== "defect") {
    said.textContent = "Marks show a defect: press D, or clear them first.";
    return;
  }
  deciding = true;
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  said.textContent = "Recording…";
  try {
    const answer = await ask("/api/parts/" + pathOf(partId) + "/reviews", {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({
        gate_id: gateId,
        outcome,
        defect_code: outcome === "defect" ? form.elements.defect_code.value : "",
        cause_code: outcome === "defect" ? form.elements.cause_code.value : "",
        comment: form.elements.comment.value,
        ...(drawn.length ? {marks: drawn} : {}),
      }),
    });
    marks.sent = true;
    said.textContent = "Recorded.";
    location.href = answer.next ? "/parts/" + pathOf(answer.next) : "/";
  } catch (error) {
    said.textContent = "Not recorded: " + error.message;
    said.classList.add("failed");
    deciding = false;
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const heat = document.getElementById("show-heat");
  if (heat) {
    heat.checked = kept("heat", "true") === "true";
    document.getElementById("heat-opacity").value = kept("opacity", "55");
    document.getElementById("show-boxes").checked = kept("boxes", "true") === "true";
    for (const id of ["show-heat", "heat-opacity", "show-boxes"]) document.getElementById(id).addEventListener("input", showOverlay);
    showOverlay();
  }
  for (const photo of document.querySelectorAll("img.photo")) {
    if (photo.complete) fitBoxes(photo);
    photo.addEventListener("load", () => fitBoxes(photo));
    photo.addEventListener("error", () => {
      photo.replaceWith(el("p", {class: "no-picture"}, "this browser cannot show the picture, or it is no longer kept"));
    });
  }
  for (const image of document.querySelectorAll("img.heat")) image.addEventListener("error", () => image.remove());
  for (const tab of document.querySelectorAll(".cameras [data-frame]")) tab.addEventListener("click", () => choose(tab.dataset.frame));
  for (const button of document.querySelectorAll("[data-outcome]")) button.addEventListener("click", () => decide(button.dataset.outcome));
  const form = document.getElementById("decide");
  if (form) form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      if (typing(event)) event.target.blur();
      else if (!marks.putDown()) location.href = "/";
      return;
    }
    if (typing(event) || event.repeat) return;
    const tool = {m: "brush", r: "box"}[event.key.toLowerCase()];
    if (tool) marks.choose(tool);
    if (event.key.toLowerCase() === "z" && marks.bar) marks.undo();
    if (event.key.toLowerCase() === "t" && marks.bar) marks.take();
    const outcome = {d: "defect", o: "ok", u: "unsure"}[event.key.toLowerCase()];
    if (outcome && page.dataset.mayReview === "1") decide(outcome);
    const toggle = {h: "show-heat", b: "show-boxes"}[event.key.toLowerCase()];
    if (toggle && heat) {
      const box = document.getElementById(toggle);
      box.checked = !box.checked;
      showOverlay();
    }
  });
});

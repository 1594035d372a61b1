"use strict";
// One part: the picture with what vision saw in it, and the keys that decide.

const page = document.getElementById("part");
const partId = page.dataset.part;
const gateId = page.dataset.gate;
const OPACITY_STEP = 10; // %, for one key

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

/** A picture may have failed before this script ran. */
function whenBroken(image, then) {
  if (image.complete && !image.naturalWidth) then();
  else image.addEventListener("error", then);
}

/** Why there is no picture: retention took it, or it is of a kind that browsers do not show. */
async function sayGone(photo) {
  const answer = await fetch(photo.src, {credentials: "same-origin"}).catch(() => null);
  const why = answer && [404, 410].includes(answer.status)
    ? tr("This picture is no longer kept. What was found in it stays in the record.")
    : tr("This browser cannot show the picture.");
  photo.parentElement.querySelector(".boxes").remove();
  photo.replaceWith(el("p", {class: "no-picture"}, why));
}

function choose(frame) {
  for (const tab of document.querySelectorAll(".cameras [data-frame]")) tab.setAttribute("aria-selected", tab.dataset.frame === frame);
  const all = document.querySelector(".look").classList.contains("side-by-side");
  for (const figure of document.querySelectorAll("figure.frame")) figure.hidden = !all && figure.dataset.frame !== frame;
  marks.turned();
}

/** Back to the queue as it was. */
function queueAddress() {
  let query = null;
  try { query = sessionStorage.getItem("qcfuse.filter"); } catch { /* it then begins as it usually does */ }
  return query === null ? "/" : query ? "/?" + query : "/?all";
}

function leavePart() {
  location.href = queueAddress();
}

/** How long the part can still be stopped, second by second. */
function showTimeLeft() {
  const sign = document.getElementById("time-left");
  if (!sign) return;
  const seconds = Math.round((Date.parse(sign.dataset.until) - Date.now()) / 1000);
  const past = Math.abs(seconds);
  const values = {gate: gateId, time: past < 100 ? past + " s" : past < 6000 ? Math.round(past / 60) + " min" : Math.round(past / 3600) + " h"};
  sign.textContent = sign.dataset.seen === "1" ? tr("it left gate {gate} {time} ago", values)
    : seconds > 0 ? tr("{time} until it leaves gate {gate}", values) : tr("it should have left gate {gate} {time} ago", values);
  sign.classList.toggle("warn", seconds > 0 && seconds < 60);
}

document.addEventListener("DOMContentLoaded", () => {
  showTimeLeft();
  setInterval(showTimeLeft, 1000);
  document.getElementById("back").href = queueAddress();
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
    whenBroken(photo, () => sayGone(photo));
  }
  for (const image of document.querySelectorAll("img.heat")) whenBroken(image, () => image.remove());
  for (const tab of document.querySelectorAll(".cameras [data-frame]")) tab.addEventListener("click", () => choose(tab.dataset.frame));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (typing(event)) event.target.blur();
    else if (!marks.putDown()) leavePart();
  });
  keys.on("brush", () => marks.choose("brush"));
  keys.on("box", () => marks.choose("box"));
  keys.on("take", () => { if (marks.bar) marks.take(); });
  keys.on("undo", () => { if (marks.bar && marks.forReview().length) marks.undo(); else undo.take(); });
  const opacity = (step) => {
    if (!heat) return;
    const slider = document.getElementById("heat-opacity");
    slider.value = Number(slider.value) + step;
    heat.checked = true;
    showOverlay();
  };
  keys.on("heat_less", () => opacity(-OPACITY_STEP));
  keys.on("heat_more", () => opacity(OPACITY_STEP));
  for (const [action, id] of [["heatmap", "show-heat"], ["regions", "show-boxes"]]) {
    keys.on(action, () => {
      if (!heat) return;
      const box = document.getElementById(id);
      box.checked = !box.checked;
      showOverlay();
    });
  }
});

"use strict";
// The queue: filled once from the list, kept live by the stream, pruned by the overview.

const ROWS_MAX = 200;
const rows = new Map(); // "part|gate|attempt" -> {verdict, node}
let state = "open";
let stream = null;
let lastEventId = "";
let filling = 0;
let arrived = []; // what the stream brought while the list was on its way: the list may be older

const list = () => document.getElementById("queue");
const keyOf = (verdict) => [verdict.part_id, verdict.gate_id, verdict.attempt].join("|");

const reasonWords = {
  risk_over_threshold: "risk over the limit", evidence_missing: "evidence missing", evidence_unfit: "evidence unfit",
  deadline_missed: "deadline missed", unknown_product: "unknown product", novel: "unlike anything learned",
  model_not_ready: "no model ready", manual_mode: "manual mode", audit: "random audit", capacity: "held: over capacity",
  corrected: "corrected",
};

function causeWords(cause) {
  if (cause.includes(" & ")) return cause.split(" & ").map(causeWords).join(" with ");
  if (cause === "unknown") return "nothing stands out";
  if (cause.startsWith("camera:")) return "camera " + cause.slice(7);
  if (cause.includes("=")) return cause.slice(0, cause.indexOf("=")).replaceAll("_", " ") + " " + cause.slice(cause.indexOf("=") + 1);
  return cause.replace(".", " · ").replaceAll("_", " ");
}

function riskBar(verdict) {
  if (verdict.risk === null) return el("div", {class: "mini-risk none"}, el("b", {}, "–"), el("small", {}, "no risk known"));
  const low = verdict.risk_low ?? verdict.risk;
  const high = verdict.risk_high ?? verdict.risk;
  const bar = el("div", {class: "mini-bar"},
    el("i", {class: "interval", style: `left:${100 * low}%;width:${Math.max(1, 100 * (high - low))}%`}),
    el("i", {class: "point", style: `left:${100 * verdict.risk}%`}),
    verdict.threshold === null ? null : el("i", {class: "limit", style: `left:${100 * verdict.threshold}%`}));
  return el("div", {class: "mini-risk"}, el("b", {}, percent(verdict.risk)),
    el("small", {}, percent(low) + " – " + percent(high)), bar);
}

function thumbnail(verdict) {
  const box = el("div", {class: "thumb"});
  const image = el("img", {loading: "lazy", alt: "", src: "/api/thumbnails/" + pathOf(verdict.part_id)});
  image.addEventListener("error", () => { box.classList.add("none"); image.remove(); });
  box.append(image);
  return box;
}

function causeList(verdict) {
  const shown = verdict.causes.slice(0, 2).map((cause) => el("span", {class: "cause-chip", title: cause.evidence.join("\n")},
    causeWords(cause.cause), el("small", {}, percent(cause.share))));
  const missing = verdict.evidence.missing.concat(verdict.evidence.unfit)
    .map((source) => el("span", {class: "chip missing"}, source.replace("camera:", "camera ").replace("sensors:", "sensors ")));
  return el("div", {class: "row-causes"}, ...shown, ...missing);
}

function showPromises(overview) {
  const list = document.getElementById("promises");
  list.hidden = overview.certificates.length === 0;
  list.replaceChildren(...overview.certificates.map((one) => {
    const since = one.since ? new Date(one.since) : null;
    const today = since && since.toDateString() === new Date().toDateString();
    const day = today ? {} : {month: "short", day: "numeric"};
    const time = since ? since.toLocaleString(undefined, {...day, hour: "2-digit", minute: "2-digit"}) : "";
    const said = time ? one.said.replace(/^Void:/, "Void since " + time + ":") : one.said;
    return el("li", {class: one.standing, title: one.since || ""}, el("b", {}, one.line_id + " · " + one.gate_id), " ", said,
      one.conflict ? el("span", {class: "conflict"}, one.conflict) : null);
  }));
}

function rowOf(verdict) {
  const address = "/parts/" + pathOf(verdict.part_id) + "?gate=" + encodeURIComponent(verdict.gate_id);
  return el("a", {class: "row " + verdict.decision, href: address, "data-key": keyOf(verdict)},
    thumbnail(verdict),
    el("div", {class: "row-who"}, el("b", {}, verdict.part_id),
      el("small", {}, [verdict.line_id, verdict.gate_id, verdict.product].filter(Boolean).join(" · ")
        + (verdict.attempt > 1 ? " · attempt " + verdict.attempt : ""))),
    el("div", {class: "row-why"}, el("span", {class: "pill " + verdict.decision}, decisionWords[verdict.decision]),
      el("small", {}, verdict.reasons.map((reason) => reasonWords[reason] || reason.replaceAll("_", " ")).join(", "))),
    riskBar(verdict),
    causeList(verdict),
    el("time", {datetime: verdict.event_at, "data-age": true, class: "row-age"}, age(verdict.event_at) + " ago"));
}

function fits(verdict) {
  const line = document.getElementById("line").value;
  const decision = document.getElementById("decision").value;
  return verdict.decision !== "pass" && (!line || verdict.line_id === line) && (!decision || verdict.decision === decision);
}

function put(verdict, fresh) {
  const key = keyOf(verdict);
  const known = rows.get(key);
  if (known && known.verdict.revision >= verdict.revision) return;
  const keepsFocus = known && document.activeElement === known.node;
  if (!fits(verdict)) {
    if (known) drop(key);
    return;
  }
  const node = rowOf(verdict);
  if (known) known.node.replaceWith(node);
  else if (fresh) list().prepend(node);
  else list().append(node);
  if (fresh) node.classList.add("fresh");
  if (keepsFocus) node.focus();
  rows.set(key, {verdict, node, putAt: Date.now()});
  while (rows.size > ROWS_MAX) drop(list().lastElementChild.dataset.key);
  showEmpty();
}

function drop(key) {
  const known = rows.get(key);
  if (!known) return;
  known.node.remove();
  rows.delete(key);
  showEmpty();
}

function showEmpty() {
  const empty = document.getElementById("empty");
  empty.hidden = rows.size > 0 || filling > 0;
  if (!empty.hidden && state === "done") {
    empty.querySelector("h2").textContent = "Nothing settled yet";
    document.getElementById("empty-text").textContent = "Parts that an inspector has decided on are kept here.";
  } else if (!empty.hidden) {
    empty.querySelector("h2").textContent = "Nothing waits for you";
    document.getElementById("empty-text").textContent = "Every flagged part has been settled. New ones appear here by themselves.";
  }
}

async function fill() {
  const mine = ++fill.turn;
  filling += 1;
  try {
    const query = new URLSearchParams({state, limit: ROWS_MAX});
    query.set("decision", document.getElementById("decision").value || "review,cannot_tell");
    const line = document.getElementById("line").value;
    if (line) query.set("line_id", line);
    const found = await ask("/api/verdicts?" + query);
    if (mine !== fill.turn) return;
    rows.clear();
    list().replaceChildren();
    for (const verdict of found.items) put(verdict, false);
    if (state === "open") for (const verdict of arrived) put(verdict, true);
  } catch (error) {
    if (error.message !== "logged out") road.setLost(true);
  } finally {
    filling -= 1;
    if (!filling) arrived = [];
    showEmpty();
  }
}
fill.turn = 0;

function follow() {
  if (stream) stream.close();
  const after = lastEventId ? "&after=" + lastEventId : "";
  stream = new EventSource("/api/verdicts/stream?decision=review,cannot_tell&corrections=true" + after);
  stream.addEventListener("open", () => road.setLost(false));
  stream.addEventListener("error", () => {
    road.setLost(true);
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  });
  stream.addEventListener("message", (event) => {
    lastEventId = event.lastEventId;
    const verdict = JSON.parse(event.data);
    if (filling) arrived.push(verdict);
    if (state === "open") put(verdict, true);
  });
}

function prune(overview) {
  document.getElementById("open-count").textContent = overview.open;
  if (state !== "open") return;
  const waiting = new Set(overview.waiting);
  for (const [key, known] of rows) {
    // A row younger than the overview's own answer may not be in it yet.
    const young = Date.now() - known.putAt < 4000;
    if (overview.waiting_is_all && !waiting.has(key) && !young) drop(key);
  }
}

function move(step) {
  const nodes = [...list().children];
  if (!nodes.length) return;
  const at = nodes.indexOf(document.activeElement);
  nodes[Math.min(nodes.length - 1, Math.max(0, at + step))].focus();
}

document.addEventListener("DOMContentLoaded", async () => {
  for (const tab of document.querySelectorAll("[data-state]")) {
    tab.addEventListener("click", () => {
      state = tab.dataset.state;
      for (const other of document.querySelectorAll("[data-state]")) other.setAttribute("aria-selected", other === tab);
      fill();
    });
  }
  for (const id of ["line", "decision"]) document.getElementById(id).addEventListener("change", fill);
  document.getElementById("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const part = document.getElementById("find-part").value.trim();
    if (part) openPart(part);
  });
  document.addEventListener("keydown", (event) => {
    if (typing(event)) return;
    if (event.key === "ArrowDown") { event.preventDefault(); move(1); }
    if (event.key === "ArrowUp") { event.preventDefault(); move(-1); }
  });
  keys.on("next", () => move(1));
  keys.on("previous", () => move(-1));
  keys.on("find", () => document.getElementById("find-part").focus());
  road.listeners.push(prune);
  road.listeners.push(showPromises);
  follow();
  await fill();
});

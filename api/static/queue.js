"use strict";
// The queue: filled page by page, the most urgent first; kept live by the stream, and by a look every few seconds.
// Nothing moves under a finger: while somebody is at work in the list, what is new waits behind a bar.

const PAGE_ROWS = 100;
const LOOK_MS = 5000;
const rows = new Map(); // "part|gate|attempt" -> {verdict, node}
let state = "open";
let stream = null;
let lastEventId = "";
let filling = 0;
let following = null; // cursor of the next page
let arrived = []; // what the stream brought while the list was on its way: the list may be older
let waitingBehind = 0;

const list = () => document.getElementById("queue");
const keyOf = (verdict) => [verdict.part_id, verdict.gate_id, verdict.attempt].join("|");
const urgency = (verdict) => verdict.risk ?? 1;

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
  if (verdict.blind) return el("div", {class: "mini-risk none"}, el("small", {}, tr("risk shown after you decide")));
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

function rowOf(verdict, heldBy) {
  const address = "/parts/" + pathOf(verdict.part_id) + "?gate=" + encodeURIComponent(verdict.gate_id);
  return el("a", {class: "row " + verdict.decision, href: address, "data-key": keyOf(verdict)},
    thumbnail(verdict),
    el("div", {class: "row-who"}, el("b", {}, verdict.part_id),
      el("small", {}, [verdict.line_id, verdict.gate_id, verdict.product].filter(Boolean).join(" · ")
        + (verdict.attempt > 1 ? " · attempt " + verdict.attempt : "")),
      heldSign(heldBy)),
    el("div", {class: "row-why"}, el("span", {class: "pill " + (verdict.blind ? "blind" : verdict.decision)}, verdict.blind ? tr("Your own eyes first") : decisionWords[verdict.decision]),
      el("small", {}, verdict.reasons.map((reason) => reasonWords[reason] || reason.replaceAll("_", " ")).join(", "))),
    riskBar(verdict),
    causeList(verdict),
    el("time", {datetime: verdict.event_at, "data-age": true, class: "row-age"}, age(verdict.event_at) + " ago"));
}

function heldSign(heldBy) {
  const other = heldBy && heldBy !== document.body.dataset.person;
  return el("span", {class: "held", hidden: !other}, other ? tr("held by {name}", {name: heldBy}) : "");
}

function fits(verdict) {
  return verdict.decision !== "pass" && filter.fits(verdict);
}

/** Is somebody at work in the list? Then nothing in it moves. */
function busy() {
  return list().contains(document.activeElement) || list().matches(":hover") || window.scrollY > 40;
}

/** Where a row belongs: before the first that is less urgent. */
function placeOf(verdict) {
  return [...list().children].find((node) => urgency(rows.get(node.dataset.key).verdict) < urgency(verdict)) || null;
}

function put(verdict, fresh, heldBy = "") {
  const key = keyOf(verdict);
  const known = rows.get(key);
  if (known && known.verdict.revision >= verdict.revision) return;
  if (!fits(verdict)) {
    if (known) drop(key);
    return;
  }
  if (fresh && !known && busy()) {
    waitingBehind += 1;
    showNew();
    return;
  }
  const keepsFocus = known && document.activeElement === known.node;
  const node = rowOf(verdict, heldBy);
  if (known) known.node.replaceWith(node);
  else if (fresh) list().insertBefore(node, placeOf(verdict));
  else list().append(node);
  if (fresh) node.classList.add("fresh");
  if (keepsFocus) node.focus();
  rows.set(key, {verdict, node});
  showEmpty();
}

function showNew() {
  const bar = document.getElementById("new-parts");
  bar.hidden = waitingBehind === 0;
  bar.textContent = tr("{count} new: show", {count: waitingBehind});
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
  document.getElementById("loading").hidden = rows.size > 0 || filling === 0;
  empty.hidden = rows.size > 0 || filling > 0;
  document.getElementById("more").hidden = following === null;
  if (empty.hidden) return;
  const [title, text] = state === "done"
    ? [tr("Nothing settled yet"), tr("Parts that an inspector has decided on are kept here.")]
    : filter.narrow()
      ? [tr("Nothing that waits fits this filter"), tr("Clear the filter to see everything that waits.")]
      : [tr("Nothing waits for you"), tr("Every flagged part has been settled. New ones appear here by themselves.")];
  empty.querySelector("h2").textContent = title;
  document.getElementById("empty-text").textContent = text;
}

function question(cursor) {
  const query = filter.query();
  query.set("limit", PAGE_ROWS);
  if (cursor) query.set("cursor", cursor);
  if (state === "open") return "/api/queue?" + query;
  query.set("state", state);
  if (!query.get("decision")) query.set("decision", "review,cannot_tell");
  return "/api/verdicts?" + query;
}

/** The first page anew, or the page behind what is shown. */
async function fill(more = false) {
  const mine = ++fill.turn;
  filling += 1;
  showEmpty();
  try {
    const found = await ask(question(more ? following : null));
    if (mine !== fill.turn) return;
    if (!more) {
      rows.clear();
      list().replaceChildren();
      waitingBehind = 0;
      showNew();
    }
    following = found.next;
    for (const one of found.items) put(one.verdict ?? one, false, one.held_by);
    if (found.counts) showCounts(found.counts);
    if (state === "open" && !more) for (const verdict of arrived) put(verdict, true);
  } catch (error) {
    if (error.message !== "logged out") road.setLost(true);
  } finally {
    filling -= 1;
    if (!filling) arrived = [];
    showEmpty();
  }
}
fill.turn = 0;

function showCounts(counts) {
  document.getElementById("open-count").textContent = counts.waiting;
  document.getElementById("done-counts").textContent = tr("{mine} by you · {all} by all, last 12 h", {mine: counts.done_by_me, all: counts.done_by_all});
}

/** What others decided or hold meanwhile: rows go or are marked, none moves. */
async function look() {
  if (state !== "open" || document.hidden || filling) return;
  const mine = fill.turn;
  const found = await ask(question(null)).catch(() => null); // a lost connection is told by the stream
  if (!found || mine !== fill.turn || state !== "open") return;
  showCounts(found.counts);
  const held = new Map(found.items.map((one) => [keyOf(one.verdict), one.held_by]));
  const last = found.next === null ? null : found.items.at(-1).verdict;
  for (const [key, known] of rows) {
    if (held.has(key)) known.node.querySelector(".held").replaceWith(heldSign(held.get(key)));
    else if (!busy() && (last === null || urgency(known.verdict) > urgency(last))) drop(key);
  }
}

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
  document.getElementById("new-parts").addEventListener("click", () => { window.scrollTo(0, 0); document.activeElement.blur(); fill(); });
  const more = document.getElementById("more");
  more.addEventListener("click", () => fill(true));
  new IntersectionObserver((seen) => { if (seen[0].isIntersecting && following && !filling) fill(true); }).observe(more);
  filter.begin(fill);
  road.listeners.push(showPromises);
  follow();
  setInterval(look, LOOK_MS);
  await fill();
});

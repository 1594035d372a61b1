"use strict";
// The queue: filled page by page, the most urgent first; kept live by the stream, and by a look every few seconds.
// Nothing moves under a finger: while somebody is at work in the list, what is new waits behind a bar, and what waits no
// longer stays where it is, grey, until nobody is.

const PAGE_ROWS = 100;
const LOOK_MS = 5000;
const GATHER_MS = 300; // what arrives within this long is fetched together
const rows = new Map(); // "part|gate|attempt" -> {item, node}
let state = "open";
let stream = null;
let lastEventId = "";
let filling = 0;
let loaded = false; // what is shown belongs to what is asked for: looking again hides nothing
let following = null; // cursor of the next page
let arrived = false; // has the stream brought something while the list was on its way: it may be older
let behindBar = new Set(); // keys of parts that wait behind the bar
let gathering = 0;

const list = () => document.getElementById("queue");
const keyOf = (verdict) => [verdict.part_id, verdict.gate_id, verdict.attempt].join("|");
const isSamePart = (one, other) => one.part_id === other.part_id && one.line_id === other.line_id;

function fits(verdict) {
  return verdict.decision !== "pass" && filter.fits(verdict);
}

/** Is somebody at work in the list? Then nothing in it moves. */
function busy() {
  return list().contains(document.activeElement) || list().matches(":hover") || window.scrollY > 40;
}

/** One part before another, or at the end; a node that stands there already is not touched. */
function put(item, before) {
  const key = keyOf(item.verdict);
  const known = rows.get(key);
  const same = known && !known.node.classList.contains("gone") && known.item.verdict.verdict_id === item.verdict.verdict_id && known.item.outcome === item.outcome;
  if (same) {
    renew(known, item);
    if (known.node !== before) list().insertBefore(known.node, before);
    return known.node;
  }
  const node = rowOf(item, key);
  list().insertBefore(node, before);
  known?.node.remove();
  rows.set(key, {item, node});
  return node;
}

/** What of a row changes while it stays the same verdict. */
function renew(known, item) {
  known.item = {...known.item, ...item, verdict: known.item.verdict};
  known.node.querySelector(".held").replaceWith(heldSign(known.item.held_by));
  known.node.querySelector(".left").replaceWith(leftSign(known.item));
  known.node.querySelector(".also").replaceWith(alsoSign(known.item));
}

/** What the stream brought. */
function take(verdict) {
  const key = keyOf(verdict);
  const known = rows.get(key);
  if (known) {
    if (known.item.verdict.revision >= verdict.revision) return;
    if (!fits(verdict)) return leave(key, verdict.decision === "pass" ? tr("passed by a correction") : tr("no longer in this filter"));
    const node = rowOf({...known.item, verdict}, key);
    const focused = document.activeElement === known.node;
    known.node.replaceWith(node);
    rows.set(key, {item: {...known.item, verdict}, node});
    if (focused) node.focus();
  } else if (fits(verdict)) {
    const elsewhere = [...rows.values()].find(({item}) => isSamePart(item.verdict, verdict));
    if (elsewhere) return joinRow(elsewhere, verdict);
    if (busy()) behindBar.add(key);
    else insert(verdict);
    showNew();
  }
}

/** A part that waits already came to another gate: it stays one row, whose place the next look corrects. */
function joinRow(known, verdict) {
  const also = new Set([...(known.item.also_at || []), verdict.gate_id]);
  renew(known, {also_at: [...also]});
  gather();
}

/** A new part at its place, which the next look may correct. */
function insert(verdict) {
  const items = [...rows.values()].map((one) => one.item);
  const item = {verdict, held_by: "", why: guessWhy(verdict, items)};
  const below = [...list().children].find((node) => weightOf(rows.get(node.dataset.key).item) < weightOf(item));
  if (!below && following) return; // behind what is shown
  put(item, below || null).classList.add("fresh");
  showEmpty();
}

/** A part that waits no longer: gone, or grey in its place while somebody is at work. */
function leave(key, said) {
  const known = rows.get(key);
  behindBar.delete(key);
  if (!known) return;
  if (busy()) return greyOut(known.node, said);
  known.node.remove();
  rows.delete(key);
  showEmpty();
}

function gather() {
  gathering ||= setTimeout(() => {
    gathering = 0;
    if (state === "open" && !busy()) fill();
  }, GATHER_MS);
}

function showNew() {
  const bar = document.getElementById("new-parts");
  bar.hidden = behindBar.size === 0;
  bar.textContent = tr("{count} new: show", {count: behindBar.size});
}

function showEmpty() {
  const empty = document.getElementById("empty");
  const loading = filling > 0 && !loaded;
  document.getElementById("loading").hidden = rows.size > 0 || !loading;
  empty.hidden = rows.size > 0 || loading;
  document.getElementById("more").hidden = following === null;
  shift.show(!empty.hidden && state === "open" && !filter.narrow());
  if (empty.hidden) return sayIn(document, "#queue-said", "");
  const [title, text] = state === "done"
    ? [tr("Nothing settled yet"), tr("Parts that an inspector has decided on are kept here.")]
    : filter.narrow()
      ? [tr("Nothing that waits fits this filter"), tr("Clear the filter to see everything that waits.")]
      : [tr("Nothing waits for you"), tr("Every flagged part has been settled. New ones appear here by themselves.")];
  empty.querySelector("h2").textContent = title;
  sayIn(document, "#queue-said", title);
  document.getElementById("empty-text").textContent = text;
}

function question(cursor) {
  const query = filter.query();
  query.set("limit", PAGE_ROWS);
  if (cursor) query.set("cursor", cursor);
  if (lastEventId && !cursor && state === "open") query.set("seen", lastEventId);
  return (state === "open" ? "/api/queue?" : "/api/queue/settled?") + query;
}

/** The first page anew, or the page behind what is shown. */
async function fill(more = false) {
  const mine = ++fill.turn;
  filling += 1;
  if (!more) arrived = false;
  showEmpty();
  try {
    const found = await ask(question(more ? following : null));
    if (mine !== fill.turn) return;
    if (!more) startAnew(new Set(found.items.map((one) => keyOf(one.verdict))));
    following = found.next;
    let before = more ? null : list().firstChild;
    for (const item of found.items) {
      if (more && rows.has(keyOf(item.verdict))) continue;
      before = put(item, before).nextSibling;
    }
    loaded = true;
    if (found.counts) showCounts(found.counts);
    else if (!more) count();
  } catch (error) {
    if (error.message !== "logged out") road.setLost(true);
  } finally {
    filling -= 1;
    if (!filling && arrived) gather();
    showEmpty();
  }
}
fill.turn = 0;

/** How many wait, beside a list of those that do not. */
async function count() {
  const query = filter.query();
  query.set("limit", 1);
  const found = await ask("/api/queue?" + query).catch(() => null); // the list has said what was wrong
  if (found) showCounts(found.counts);
}

function fillAnew() {
  loaded = false;
  return fill();
}

/** Only these stay. */
function startAnew(keys) {
  for (const [key, known] of rows) {
    if (keys.has(key)) continue;
    known.node.remove();
    rows.delete(key);
  }
  behindBar = new Set();
  showNew();
}

function showCounts(counts) {
  document.getElementById("open-count").textContent = counts.waiting;
  document.getElementById("done-counts").textContent = tr("{mine} by you · {all} by all today", {mine: counts.done_by_me, all: counts.done_by_all});
}

/** What others decided or hold meanwhile. */
async function look() {
  if (state !== "open" || document.hidden || filling) return;
  if (!busy()) return fill();
  const seen = [...rows].filter(([, known]) => onScreen(known.node)).map(([key]) => key);
  const query = filter.query();
  query.set("limit", 1);
  const asked = seen.slice(0, 100).map((key) => "part_id=" + encodeURIComponent(rows.get(key).item.verdict.part_id));
  const [counted, standing] = await Promise.all([
    ask("/api/queue?" + query), asked.length ? ask("/api/queue/standing?" + asked.join("&")) : {items: []},
  ]).catch(() => []); // a lost connection is told by the stream
  if (!counted || state !== "open") return;
  showCounts(counted.counts);
  for (const one of standing.items) {
    const key = keyOf(one);
    const known = rows.get(key);
    if (!known) continue;
    known.node.querySelector(".held").replaceWith(heldSign(one.held_by));
    if (one.state !== "open") leave(key, settledWords[one.outcome] || tr("waits no longer"));
  }
}

function onScreen(node) {
  const box = node.getBoundingClientRect();
  return box.bottom > 0 && box.top < window.innerHeight;
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
    if (filling) arrived = true;
    if (state === "open") take(JSON.parse(event.data));
  });
}

function move(step) {
  const nodes = [...list().children];
  if (!nodes.length) return;
  const at = nodes.indexOf(document.activeElement);
  nodes[Math.min(nodes.length - 1, Math.max(0, at + step))].focus();
}

/** One sentence at the foot of the screen: why the part under the pointer, or with the focus, stands where it does. */
function tellWhy(event) {
  const known = rows.get(event.target.closest?.(".row")?.dataset.key);
  const told = document.getElementById("why-here");
  told.hidden = !known || state !== "open";
  if (!told.hidden) told.textContent = tr("{part}: {why}", {part: known.item.verdict.part_id, why: whyHere(known.item)});
}

function left() {
  document.getElementById("why-here").hidden = true;
  if (behindBar.size || list().querySelector(".gone")) gather();
}

document.addEventListener("DOMContentLoaded", async () => {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.addEventListener("click", () => {
      state = tab.dataset.state;
      for (const other of document.querySelectorAll("[role=tab]")) other.setAttribute("aria-selected", other === tab);
      list().setAttribute("aria-labelledby", tab.id);
      fillAnew();
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
  for (const name of ["pointerover", "focusin"]) list().addEventListener(name, tellWhy);
  for (const name of ["pointerleave", "focusout"]) list().addEventListener(name, () => setTimeout(() => { if (!busy()) left(); }));
  const more = document.getElementById("more");
  more.addEventListener("click", () => fill(true));
  new IntersectionObserver((seen) => { if (seen[0].isIntersecting && following && !filling) fill(true); }).observe(more);
  filter.begin(fillAnew);
  follow();
  setInterval(look, LOOK_MS);
  await fill();
});

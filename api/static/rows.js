"use strict";
// How one part looks in the queue, and the sentence that says why it stands where it does.

const reasonWords = {
  risk_over_threshold: tr("risk over the limit"), evidence_missing: tr("evidence missing"), evidence_unfit: tr("evidence unfit"),
  deadline_missed: tr("deadline missed"), unknown_product: tr("unknown product"), novel: tr("unlike anything learned"),
  model_not_ready: tr("no model ready"), manual_mode: tr("manual mode"), audit: tr("random audit"), capacity: tr("held: over capacity"),
  corrected: tr("corrected"),
};

function sourceWords(source) {
  const [kind, name] = [source.slice(0, source.indexOf(":")), source.slice(source.indexOf(":") + 1)];
  return kind === "camera" ? tr("camera {name}", {name}) : kind === "sensors" ? tr("sensors {name}", {name}) : source;
}

const settledWords = {defect: tr("decided: defect"), ok: tr("decided: OK"), superseded: tr("came again")};

/** How long, in one unit. */
function duration(ms) {
  const seconds = Math.max(0, ms / 1000);
  return seconds < 100 ? Math.round(seconds) + " s" : seconds < 6000 ? Math.round(seconds / 60) + " min" : Math.round(seconds / 3600) + " h";
}

/** What is known of when a part moves on, in words. */
function timeLeft({why, verdict}) {
  if (!why || !why.known_from) return tr("nobody knows when it leaves gate {gate}", {gate: verdict.gate_id});
  const left = Date.parse(why.moves_on_at) - Date.now();
  if (why.known_from === "seen") return tr("it left gate {gate} {time} ago", {gate: verdict.gate_id, time: duration(-left)});
  if (left > 0) return tr("{time} until it leaves gate {gate}", {gate: verdict.gate_id, time: duration(left)});
  return tr("it should have left gate {gate} {time} ago", {gate: verdict.gate_id, time: duration(-left)});
}

/** Why a part stands where it does. */
function whyHere(item) {
  const {verdict, why} = item;
  const risk = verdict.blind ? tr("risk shown after you decide")
    : verdict.risk === null ? tr("no risk known: the worst is assumed") : tr("risk {risk}", {risk: percent(verdict.risk)});
  const cost = why ? tr("an escape costs {cost} {currency}", {cost: why.escape_cost, currency: why.currency}) : "";
  return [risk, cost, timeLeft(item)].filter(Boolean).join(", ") + ".";
}

const HALF_MS = 120_000, MOVED_ON = 0.25; // as api/urgency.py weighs

/** What a look at a part is worth now: risk, cost, and the time left to stop it. */
function weightOf({verdict, why}) {
  const left = why && why.known_from !== "seen" && why.moves_on_at ? Date.parse(why.moves_on_at) - Date.now() : 0;
  return (verdict.blind ? 1 : verdict.risk ?? 1) * (why ? why.escape_cost : 1) * (left > 0 ? 2 ** (-left / HALF_MS) : MOVED_ON);
}

/** Of a part that the stream brought, as of another of its gate; the next look at the queue tells it as it is. */
function guessWhy(verdict, others) {
  const like = [...others].find((one) => one.why && one.verdict.line_id === verdict.line_id && one.verdict.gate_id === verdict.gate_id
    && ["plan", "line", ""].includes(one.why.known_from));
  if (!like) return null;
  const stays = like.why.moves_on_at ? Date.parse(like.why.moves_on_at) - Date.parse(like.verdict.event_at) : null;
  return {...like.why, moves_on_at: stays === null ? null : new Date(Date.parse(verdict.event_at) + stays).toISOString()};
}

function leftSign(item) {
  const left = item.why && ["plan", "line"].includes(item.why.known_from) ? Date.parse(item.why.moves_on_at) - Date.now() : 0;
  return el("small", {class: "left" + (left > 0 && left < 60_000 ? " soon" : "")}, left > 0 ? tr("{time} left", {time: duration(left)}) : "");
}

function riskBar(verdict) {
  if (verdict.blind) return el("div", {class: "mini-risk none"}, el("small", {}, tr("risk shown after you decide")));
  if (verdict.risk === null) return el("div", {class: "mini-risk none"}, el("b", {}, "–"), el("small", {}, tr("no risk known")));
  const low = verdict.risk_low ?? verdict.risk;
  const high = verdict.risk_high ?? verdict.risk;
  const bar = el("div", {class: "mini-bar"},
    el("i", {class: "interval", style: `left:${100 * low}%;width:${Math.max(1, 100 * (high - low))}%`}),
    el("i", {class: "point", style: `left:${100 * verdict.risk}%`}),
    verdict.threshold === null ? null : el("i", {class: "limit", style: `left:${100 * verdict.threshold}%`}));
  return el("div", {class: "mini-risk"}, el("b", {}, el("span", {class: "hear"}, tr("Risk") + " "), percent(verdict.risk)),
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
  const missing = verdict.evidence.missing.concat(verdict.evidence.unfit).map((source) => el("span", {class: "chip missing"}, sourceWords(source)));
  return el("div", {class: "row-causes"}, ...shown, ...missing);
}

function heldSign(heldBy) {
  const other = heldBy && heldBy !== document.body.dataset.person;
  return el("span", {class: "held", hidden: !other}, other ? tr("held by {name}", {name: heldBy}) : "");
}

/** The other gates at which a part waits, or was settled: one part in the hand, one row. */
function alsoSign(item) {
  const gates = item.also_at || (item.also || []).map((one) => one.outcome === item.outcome ? one.gate_id
    : tr("{gate} ({outcome})", {gate: one.gate_id, outcome: settledWords[one.outcome] || tr("waits no longer")}));
  return el("small", {class: "also", hidden: !gates.length}, gates.length ? tr("also at gate {gates}", {gates: gates.join(", ")}) : "");
}

/** Why a part was flagged; of a settled one what was said of it, by whom. */
function whySign(item) {
  const {verdict} = item;
  if (item.outcome !== undefined) {
    const by = item.said_by ? tr("{name}, {age} ago", {name: item.said_by, age: age(item.said_at)}) : item.outcome === "superseded" ? "" : tr("by a record from elsewhere");
    return el("div", {class: "row-why"}, el("span", {class: "pill said-" + item.outcome}, settledWords[item.outcome] || tr("waits no longer")), el("small", {}, by));
  }
  return el("div", {class: "row-why"}, el("span", {class: "pill " + (verdict.blind ? "blind" : verdict.decision)}, verdict.blind ? tr("Your own eyes first") : decisionWords[verdict.decision]),
    el("small", {}, verdict.reasons.map((reason) => reasonWords[reason] || reason.replaceAll("_", " ")).join(", ")));
}

function rowOf(item, key) {
  const {verdict} = item;
  const address = "/parts/" + pathOf(verdict.part_id) + "?gate=" + encodeURIComponent(verdict.gate_id);
  const where = [verdict.line_id, verdict.gate_id, verdict.product, verdict.attempt > 1 ? tr("attempt {number}", {number: verdict.attempt}) : ""];
  return el("a", {class: "row " + (item.outcome === undefined ? verdict.decision : "said-" + item.outcome), href: address, "data-key": key, "aria-describedby": "why-here"},
    thumbnail(verdict),
    el("div", {class: "row-who"}, el("b", {}, verdict.part_id), el("small", {}, where.filter(Boolean).join(" · ")), alsoSign(item), heldSign(item.held_by)),
    whySign(item),
    riskBar(verdict),
    causeList(verdict),
    el("div", {class: "row-age"}, el("time", {datetime: verdict.event_at, "data-age": true}, tr("{age} ago", {age: age(verdict.event_at)})), leftSign(item)));
}

/** A row that waits no longer stays where it is, grey, and says so. */
function greyOut(node, said) {
  node.classList.add("gone");
  const sign = node.querySelector(".row-why .pill"); // in its place: the row stays as high as it was
  sign.className = "pill gone-said";
  sign.textContent = said;
}

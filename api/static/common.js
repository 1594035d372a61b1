"use strict";
// What every screen shares: the reader's language, the plant's clock, asking the server. The road's state: road.js.

const spoken = globalThis.language || {code: "en", decimal: ".", months: "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" "), day: "{day} {month}", date: "{day} {month} {year}", texts: {}};
const plurals = new Intl.PluralRules(spoken.code);

/** A text of the screen in the reader's language, its {names} filled in; {count} chooses the plural form. */
function tr(text, values = {}) {
  let said = spoken.texts[text] || text;
  if (typeof said !== "string") said = said[plurals.select(Number(values.count) || 0)] || said.other;
  return said.replace(/\{(\w+)\}/g, (whole, name) => {
    if (!(name in values)) return whole;
    const value = values[name];
    return typeof value === "number" && !Number.isInteger(value) ? decimal(value) : String(value);
  });
}

/** A number with the reader's decimal sign; `digits` after it, if given. */
function decimal(value, digits) {
  return (digits === undefined ? String(value) : value.toFixed(digits)).replace(".", spoken.decimal);
}

const decisionWords = {pass: tr("Pass"), review: tr("Review"), cannot_tell: tr("Cannot tell")};

/** `tool_id=T7` as people say it. */
function causeWords(cause) {
  if (cause.includes(" & ")) return cause.split(" & ").map(causeWords).join(" + ");
  if (cause === "unknown") return tr("nothing stands out");
  if (cause.startsWith("camera:")) return tr("camera {name}", {name: cause.slice(7)});
  if (cause.includes("=")) return tr(cause.slice(0, cause.indexOf("=")).replaceAll("_", " ")) + " " + cause.slice(cause.indexOf("=") + 1);
  return cause.replace(".", " · ").replaceAll("_", " ");
}

function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function pathOf(id) {
  return id.split("/").map(encodeURIComponent).join("/");
}

function percent(share) {
  if (share === null || share === undefined) return "–";
  const value = 100 * share;
  if (value < 0.1) return "< " + decimal(0.1) + " %";
  return decimal(value, value < 1 ? 1 : 0) + " %";
}

function age(at) {
  const seconds = Math.max(0, (Date.now() - Date.parse(at)) / 1000);
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  if (seconds < 86400) return Math.floor(seconds / 3600) + " h " + Math.floor((seconds % 3600) / 60) + " min";
  return tr("{days} d", {days: Math.floor(seconds / 86400)});
}

/** The plant's clock, not the viewer's. */
const plantClock = new Intl.DateTimeFormat("en-GB", {
  timeZone: document.documentElement.dataset.zone || "UTC", hourCycle: "h23",
  year: "numeric", month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

/** A moment by the plant's clock: `23 Nov, 09:26:00`, with the year where it is another one than now's. */
function moment(at) {
  const read = (when) => Object.fromEntries(plantClock.formatToParts(when).map((part) => [part.type, part.value]));
  const then = read(at), now = read(new Date());
  const pattern = then.year === now.year ? spoken.day : spoken.date;
  const day = pattern.replace("{day}", Number(then.day)).replace("{month}", spoken.months[then.month - 1]).replace("{year}", then.year);
  return day + ", " + clockTime(at);
}

/** `09:26:00` by the plant's clock. */
function clockTime(at) {
  const part = Object.fromEntries(plantClock.formatToParts(at).map((one) => [one.type, one.value]));
  return part.hour + ":" + part.minute + ":" + part.second;
}

function showTimes(root) {
  for (const node of root.querySelectorAll("time[datetime]")) {
    const at = new Date(node.getAttribute("datetime"));
    if (isNaN(at)) continue;
    node.title = moment(at) + " (" + (document.documentElement.dataset.zoneSaid || "UTC") + ")";
    if (node.hasAttribute("data-age")) node.textContent = tr("{age} ago", {age: age(at)});
    else if (!node.hasAttribute("data-said")) node.textContent = moment(at);
  }
}

/** What every request of a page carries: its session's token, so that no other site can make one in its name. */
function withToken(headers) {
  return {...headers, "X-CSRF-Token": document.body.dataset.csrf || ""};
}

async function ask(path, options = {}) {
  const answer = await fetch(path, {credentials: "same-origin", ...options, headers: withToken(options.headers)});
  if (answer.status === 401) {
    location.href = "/login";
    throw new Error("logged out");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => null);
    const error = new Error(told && told.error ? told.error.said || told.error.message : "HTTP " + answer.status);
    error.status = answer.status;
    throw error;
  }
  return answer.status === 204 ? null : answer.json();
}

function typing(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  return event.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea"); // a slider takes no letters
}

/** Within a row of tabs the arrows go to the next one and open it. */
function arrowsOfTabs(event) {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  const row = step && event.target.closest?.("[role=tablist]");
  if (!row) return;
  const tabs = [...row.querySelectorAll("[role=tab]")];
  const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
  event.preventDefault();
  next.focus();
  next.click();
}

document.addEventListener("DOMContentLoaded", () => {
  document.addEventListener("keydown", arrowsOfTabs);
  showTimes(document);
  setInterval(() => showTimes(document), 5000);
});

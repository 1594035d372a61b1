"use strict";
// What every screen shares: ages, the state of the road, the mode.

const ANSWER_MS = 8000; // an answer that takes longer is none: the connection is told as lost

const decisionWords = {pass: "Pass", review: "Review", cannot_tell: "Cannot tell"};

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

async function ask(path, options) {
  const answer = await fetch(path, {credentials: "same-origin", ...options});
  if (answer.status === 401) {
    location.href = "/login";
    throw new Error("logged out");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => null);
    const error = new Error(told && told.error ? told.error.message : "HTTP " + answer.status);
    error.status = answer.status;
    throw error;
  }
  return answer.status === 204 ? null : answer.json();
}

function typing(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  return event.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea"); // a slider takes no letters
}

const road = {
  lost: false,
  listeners: [],
  mode: null,

  setLost(lost) {
    this.lost = lost;
    document.getElementById("lost").hidden = !lost;
    document.body.classList.toggle("is-lost", lost);
  },

  /** A server that takes the question and does not answer is as lost as one that is not there. */
  async look() {
    try {
      const overview = await ask("/api/overview", {signal: AbortSignal.timeout(ANSWER_MS)});
      this.setLost(false);
      this.show(overview);
      for (const listener of this.listeners) listener(overview);
    } catch (error) {
      if (error.message !== "logged out") this.setLost(true);
    }
  },

  show(overview) {
    const sign = document.getElementById("road");
    const whole = overview.troubles.length === 0;
    sign.className = "road " + (whole ? "whole" : "broken");
    sign.querySelector("span").textContent = whole ? "Road works" : "Road broken";
    const trouble = document.getElementById("trouble");
    const told = overview.troubles.concat(overview.notices);
    trouble.hidden = told.length === 0;
    trouble.className = "banner " + (whole ? "manual" : "trouble");
    const since = overview.stopped_since;
    trouble.querySelector("b").textContent = whole ? tr("Take note.") : since
      ? tr("No new verdicts since {time}.", {time: new Date(since).toLocaleTimeString()})
      : tr("The road is not whole.");
    trouble.querySelector("span").textContent = told.join(" · ");
    this.showMode(overview.mode);
  },

  showMode(view) {
    this.mode = view.mode;
    const stopped = view.lines.filter((line) => line.mode === "manual");
    const banner = document.getElementById("manual");
    banner.hidden = stopped.length === 0;
    if (stopped.length) {
      const lines = stopped.length === view.lines.length ? "every line" : stopped.map((line) => line.line_id).join(", ");
      const by = stopped[0].by ? ", ordered by " + stopped[0].by : "";
      const why = stopped[0].reason ? " (" + stopped[0].reason + ")" : "";
      banner.querySelector("span").textContent = "on " + lines + by + why + ": every part goes to a person.";
    }
    const button = document.getElementById("mode-button");
    if (!button) return;
    button.hidden = stopped.length > 0 && document.body.dataset.mayResume !== "1";
    button.textContent = stopped.length ? "Back to automatic" : "Stop: go manual";
  },

  async order() {
    const wanted = this.mode === "manual" ? "auto" : "manual";
    const question = wanted === "manual"
      ? "Every part will go to a person until somebody orders automatic again. Why?"
      : "qcfuse will pass parts by itself again. Why?";
    const reason = prompt(question, "");
    if (reason === null) return;
    try {
      await ask("/api/control/mode", {
        method: "POST",
        headers: {"Content-Type": "application/json"},
        body: JSON.stringify({mode: wanted, reason: reason.slice(0, 4000)}),
      });
      setTimeout(() => this.look(), 400);
    } catch (error) {
      alert("The order was not given: " + error.message);
    }
  },
};

document.addEventListener("DOMContentLoaded", () => {
  showTimes(document);
  const button = document.getElementById("mode-button");
  if (button) button.addEventListener("click", () => road.order());
  road.look();
  setInterval(() => road.look(), 2000);
  setInterval(() => showTimes(document), 5000);
});

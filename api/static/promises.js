"use strict";
// How the escape certificate of each gate stands, above the queue.

function showPromises(overview) {
  const promises = document.getElementById("promises");
  promises.hidden = overview.certificates.length === 0;
  promises.replaceChildren(...overview.certificates.map((one) => el("li", {class: one.standing, title: one.since ? moment(new Date(one.since)) : ""},
    el("b", {}, one.line_id + " · " + one.gate_id), " ", one.said,
    one.since ? el("small", {}, " " + tr("(since {when})", {when: moment(new Date(one.since))})) : null,
    one.conflict ? el("span", {class: "conflict"}, one.conflict) : null)));
}

document.addEventListener("DOMContentLoaded", () => road.listeners.push(showPromises));

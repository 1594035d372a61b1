"use strict";
// The part on this page is held: nobody else gets it as their next, and whoever opens it sees who is at it.

const RENEW_MS = 60_000; // a hold lasts five minutes

const holding = {
  mine: false,

  async ask(take = false) {
    const told = await ask("/api/parts/" + pathOf(partId) + "/hold" + (take ? "?take=1" : ""), {method: "POST"}).catch(() => null);
    if (!told) return; // a lost connection is told elsewhere; the server lets go by itself
    this.mine = told.mine;
    const bar = document.getElementById("held");
    bar.hidden = told.mine;
    bar.querySelector("span").textContent = told.mine ? "" : tr("{name} has been looking at this part for {age}.", {name: told.held_by, age: age(told.since)});
  },

  letGo() {
    if (this.mine) fetch("/api/parts/" + pathOf(partId) + "/hold", {method: "DELETE", credentials: "same-origin", keepalive: true, headers: withToken()}).catch(() => {});
    this.mine = false;
  },
};

document.addEventListener("DOMContentLoaded", () => {
  if (page.dataset.mayReview !== "1") return;
  document.querySelector("#held button").addEventListener("click", () => holding.ask(true));
  holding.ask();
  setInterval(() => { if (!document.hidden) holding.ask(); }, RENEW_MS);
  window.addEventListener("pagehide", () => { if (!decision.pending) holding.letGo(); });
});

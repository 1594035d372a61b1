"use strict";
// What is going wrong now: since when, how many parts, and the parts themselves one click away.

const INCIDENTS_SHOWN = 3; // the rest behind "all": the queue stays on the screen

const incidents = {
  all: false,

  async look() {
    const found = await ask("/api/incidents").catch(() => null); // a lost connection is told by the stream
    if (found) this.show(found.items.filter((one) => one.kind === "camera" || one.kind === "process"));
  },

  show(open) {
    const strip = document.getElementById("incidents");
    strip.hidden = open.length === 0;
    const shown = this.all ? open : open.slice(0, INCIDENTS_SHOWN);
    document.getElementById("incident-list").replaceChildren(...shown.map((one) => this.row(one)));
    const more = document.getElementById("incidents-all");
    more.hidden = open.length <= INCIDENTS_SHOWN;
    more.textContent = this.all ? tr("Fewer") : tr("All {count}", {count: open.length});
  },

  row(one) {
    const latest = (one.parts || []).at(-1);
    const since = one.since ? tr("since {age} ago", {age: age(one.since)}) : "";
    const picture = el("div", {class: "thumb"});
    if (latest) {
      const image = el("img", {alt: tr("The latest part of it, {part}", {part: latest}), src: "/api/thumbnails/" + pathOf(latest)});
      image.addEventListener("error", () => image.remove());
      picture.append(image);
    }
    const cause = one.camera_id ? "camera:" + one.camera_id : one.cause;
    return el("li", {class: "incident"},
      latest ? el("a", {href: "/parts/" + pathOf(latest)}, picture) : picture,
      el("div", {class: "incident-what"}, el("b", {}, one.line_id || ""), " ", one.what,
        el("small", {}, [since, one.parts_count ? tr("{count} parts", {count: one.parts_count}) : ""].filter(Boolean).join(" · "))),
      cause ? el("a", {class: "button quiet", href: "/?cause=" + encodeURIComponent(cause)}, tr("Waiting parts")) : null,
      one.containment ? el("a", {class: "button quiet", href: one.containment.replace("/api/containment", "/exposed")}, tr("All exposed parts")) : null);
  },
};

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("incidents-all").addEventListener("click", () => { incidents.all = !incidents.all; incidents.look(); });
  incidents.look();
  setInterval(() => { if (!document.hidden) incidents.look(); }, 5000);
});

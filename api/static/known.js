"use strict";
// Known parts: marked and taken away, on the page of all and on the part's own.

async function changeKnown(path, options) {
  const said = document.getElementById("known-said");
  said.classList.remove("failed");
  try {
    await ask(path, options);
    location.reload();
  } catch (error) {
    said.textContent = error.message;
    said.classList.add("failed");
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const value = (id) => document.getElementById(id).value.trim();
  document.getElementById("add-known")?.addEventListener("submit", (event) => {
    event.preventDefault();
    changeKnown("/api/known", {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({part_id: value("known-part"), gate_id: value("known-gate"), reason: value("known-reason")}),
    });
  });
  for (const button of document.querySelectorAll("[data-known]")) {
    button.addEventListener("click", () => changeKnown("/api/known/" + pathOf(button.dataset.known), {method: "DELETE"}));
  }
});

"use strict";
// Where a part was not found: another code, typed or scanned.

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("find-again").addEventListener("submit", (event) => {
    event.preventDefault();
    const code = document.getElementById("find-code").value.trim();
    if (code) location.href = "/parts/" + pathOf(code);
  });
});

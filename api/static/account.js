"use strict";
// One's own password and language.

function tell(id, sentence, failed) {
  const said = document.getElementById(id);
  said.textContent = sentence;
  said.classList.toggle("failed", failed);
}

function send(path, body) {
  return ask(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
}

async function changePassword(event) {
  event.preventDefault();
  const [old, wanted, again] = ["old", "new", "again"].map((id) => document.getElementById(id).value);
  if (wanted !== again) return tell("account-said", tr("The new password and its repetition differ."), true);
  try {
    await send("/api/account", {password: old, new_password: wanted});
    location.href = "/";
  } catch (error) {
    tell("account-said", error.message, true);
  }
}

async function chooseLanguage(event) {
  event.preventDefault();
  try {
    await send("/api/account/language", {language: document.getElementById("language").value});
    setTimeout(() => location.reload(), 1100); // the server may remember the old one for a second
    tell("language-said", tr("Chosen."), false);
  } catch (error) {
    tell("language-said", error.message, true);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("password-form")?.addEventListener("submit", changePassword);
  document.getElementById("language-form")?.addEventListener("submit", chooseLanguage);
});

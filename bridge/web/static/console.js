// What pages do beyond links and forms. Everything works without it: it only saves a step or a look.
"use strict";

// A part of a page that could not be fetched anew stays as it is; say so once, in words.
document.addEventListener("htmx:responseError", () => toast(document.body.dataset.stale));
document.addEventListener("htmx:sendError", () => toast(document.body.dataset.stale));

// Nothing is fetched anew under somebody who is about to decide.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.querySelector("details.ask[open]")) event.preventDefault();
});

// Buttons with data-copy put a text into the clipboard.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  navigator.clipboard.writeText(button.dataset.copy).then(() => toast(document.body.dataset.copied));
});

// Selects and dates of a form with data-auto send it when the pointer changes them. By the keyboard each arrow and each
// digit is a change: the form's button sends those, and everything else.
let byKeyboard = false;
document.addEventListener("keydown", () => { byKeyboard = true; }, true);
document.addEventListener("pointerdown", () => { byKeyboard = false; }, true);
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (form && !byKeyboard && event.target.matches("select, input[type=date]")) form.requestSubmit();
});

// A box with data-all checks every box of its form with that name.
document.addEventListener("change", (event) => {
  const name = event.target.dataset ? event.target.dataset.all : undefined;
  if (!name) return;
  for (const box of event.target.form.querySelectorAll(`input[type=checkbox][name="${name}"]`)) box.checked = event.target.checked;
});

// The example and the known values under a condition are those of the field that was chosen when the page was made.
document.addEventListener("change", (event) => {
  const row = event.target.matches("#edit select[name$='-field']") ? event.target.closest("li") : null;
  for (const seen of row ? row.querySelectorAll(".seen") : []) seen.hidden = true;
  for (const input of row ? row.querySelectorAll("input[list]") : []) input.removeAttribute("list");
});

// "/" goes to the search of the page.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  const search = document.querySelector("input[type=search]");
  if (search) { event.preventDefault(); search.focus(); search.select(); }
});

let hiding;
function toast(text) {
  const box = document.getElementById("toast");
  if (!box || !text) return;
  box.textContent = text;
  box.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { box.hidden = true; }, 4000);
}

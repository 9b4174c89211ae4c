// Makes the mapping's textarea an editor: colours, findings while typing, completion, a preview that follows.
// Without it the textarea is sent as it is.
"use strict";

(() => {
  const box = document.getElementById("editor");
  const area = document.getElementById("text");
  if (!box || !area || !window.CodeMirror) return;
  const CM = window.CodeMirror;
  const token = JSON.parse(document.body.getAttribute("hx-headers"));
  const nonce = document.querySelector("meta[name=style-nonce]").content;
  const list = document.getElementById("findings");
  const against = document.getElementById("against");

  const colours = CM.HighlightStyle.define([
    { tag: [CM.tags.propertyName, CM.tags.definition(CM.tags.propertyName)], color: "var(--accent)" },
    { tag: [CM.tags.string, CM.tags.content], color: "var(--ink)" },
    { tag: CM.tags.comment, color: "var(--soft)", fontStyle: "italic" },
    { tag: [CM.tags.bool, CM.tags.number, CM.tags.keyword], color: "var(--busy)" },
    { tag: [CM.tags.punctuation, CM.tags.separator, CM.tags.squareBracket, CM.tags.brace], color: "var(--soft)" },
  ]);
  const look = CM.EditorView.theme({
    "&": { backgroundColor: "var(--surface)", color: "var(--ink)" },
    ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6", minHeight: "24rem", maxHeight: "70vh" },
    ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--soft)", border: "0" },
    ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
    "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-2px" },
    ".cm-cursor": { borderLeftColor: "var(--ink)" },
    "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--accent-pale) !important" },
    ".cm-tooltip": { backgroundColor: "var(--surface)", color: "var(--ink)", border: "1px solid var(--line-strong)", borderRadius: "6px", fontFamily: "var(--sans)" },
    ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--accent-ink)" },
    ".cm-completionInfo": { maxWidth: "22rem", padding: "8px 12px" },
    ".cm-diagnostic": { padding: "6px 10px", whiteSpace: "normal", maxWidth: "32rem" },
  });

  let words;
  const load = () => (words ??= fetch(box.dataset.words).then((answer) => answer.json()).catch(() => null));

  // The values of the chosen event, asked for once each time another one is chosen.
  let seen = {}, seenOf;
  async function values() {
    if (seenOf === against.value) return seen;
    seenOf = against.value;
    try {
      const answer = await fetch(box.dataset.values, { method: "POST", body: new URLSearchParams(new FormData(area.form)), headers: token });
      seen = answer.ok ? await answer.json() : {};
    } catch { seen = {}; }
    return seen;
  }
  const told = (one, value) => value ? { ...one, info: [one.info, `${box.dataset.seen} ${value}`].filter(Boolean).join("\n") } : one;

  async function complete(context) {
    const word = context.matchBefore(/[\w.]+/);
    if (!word && !context.explicit) return null;
    const all = await load();
    if (!all) return null;
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    const kind = (items, type) => items.map((one) => ({ ...one, type }));
    let options;
    if (/^\s*-?\s*\{?\s*[\w]*$/.test(before)) options = [...kind(all.keys, "property"), ...(/^\s/.test(before) ? kind(all.operators, "keyword") : [])];
    else if (/(^|\s)events:/.test(before) || /^\s*-\s+[A-Z_]*$/.test(before) || /\bevent:/.test(before)) options = kind(all.events, "enum");
    else if (/\b(origin|default|text|[A-Z]+_[A-Z_]+):\s*[^{,]*$/.test(before)) options = kind(all.names, "text");
    else if (/\{[^}]*,\s*\w*$/.test(before)) options = [...kind(all.operators, "keyword"), ...kind(all.keys, "property")];
    else options = [...kind(await values().then((found) => all.paths.map((one) => told(one, found[one.label]))), "variable"), ...kind(all.functions, "function").map((one) => ({ ...one, apply: `${one.label}(` }))];
    return { from: word ? word.from : context.pos, options, validFor: /^[\w.]*$/ };
  }

  let asked = 0;
  async function findings(view) {
    const mine = ++asked;
    const form = new FormData(area.form);
    form.set("text", view.state.doc.toString());
    let found;
    try {
      const answer = await fetch(box.dataset.lint, { method: "POST", body: new URLSearchParams(form), headers: token });
      found = (await answer.json()).findings;
    } catch { return []; }
    if (mine !== asked || !found) return [];
    show(found);
    const doc = view.state.doc;
    return found.map((one) => {
      const line = doc.line(Math.min(Math.max(one.line, 1), doc.lines));
      const from = Math.min(line.from + Math.max(one.column - 1, 0), line.to);
      const rest = /^[^\s,}\]]*/.exec(line.text.slice(from - line.from))[0].length;
      return { from, to: Math.max(from, Math.min(from + rest, line.to)), severity: one.severity === "note" ? "info" : one.severity, message: one.message, source: one.code };
    });
  }

  function show(found) {
    list.replaceChildren(...(found.length ? found.map(item) : [none()]));
    document.getElementById("findings-state").textContent = found.length ? String(found.length) : "";
  }
  function item(one) {
    const entry = document.createElement("li");
    entry.className = one.severity;
    const at = document.createElement("span");
    at.className = "at";
    at.textContent = `${one.line}:${one.column}`;
    const what = document.createElement("span");
    const code = document.createElement("code");
    code.className = "detail";
    code.textContent = one.code;
    what.append(one.message, " ", code);
    entry.append(at, what);
    return entry;
  }
  function none() {
    const entry = document.createElement("li");
    entry.className = "none";
    const word = document.createElement("span");
    word.textContent = list.dataset.none;
    entry.append(word);
    return entry;
  }

  let later;
  const follow = CM.EditorView.updateListener.of((update) => {
    if (!update.docChanged) return;
    area.value = update.state.doc.toString();
    area.dispatchEvent(new Event("input", { bubbles: true }));
    clearTimeout(later);
    later = setTimeout(() => window.htmx && window.htmx.trigger(against, "preview"), 700);
  });

  const readOnly = "readOnly" in box.dataset;
  const view = new CM.EditorView({
    parent: box,
    state: CM.EditorState.create({
      doc: area.value,
      extensions: [
        CM.EditorView.cspNonce.of(nonce),
        CM.lineNumbers(), CM.highlightActiveLineGutter(), CM.highlightSpecialChars(), CM.history(), CM.drawSelection(),
        CM.indentUnit.of("  "), CM.indentOnInput(), CM.bracketMatching(), CM.closeBrackets(), CM.highlightActiveLine(),
        CM.yaml(), CM.syntaxHighlighting(colours), look,
        CM.lintGutter(), CM.linter(findings, { delay: 400 }),
        CM.autocompletion({ override: [complete] }),
        // Tab stays the key that leads on to the next field: nobody is caught in the editor.
        CM.keymap.of([...CM.closeBracketsKeymap, ...CM.defaultKeymap, ...CM.searchKeymap, ...CM.historyKeymap, ...CM.completionKeymap, ...CM.lintKeymap]),
        CM.EditorState.readOnly.of(readOnly), CM.EditorView.editable.of(!readOnly),
        CM.EditorView.contentAttributes.of({ "aria-label": box.dataset.label, tabindex: "0" }),
        follow,
      ],
    }),
  });
  area.hidden = true;
  document.querySelector("label[for=text]").addEventListener("click", () => view.focus());
})();

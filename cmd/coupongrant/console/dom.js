// Building the page. Text only ever becomes a text node: what comes from
// upstream, request ids for instance, may look like HTML.

import * as fmt from "./format.js";

export const byId = (id) => document.getElementById(id);

// What is not seen, or turns text around, is shown as its code: "\\u202e".
const unprintable = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const printable = (text) => String(text).replace(unprintable, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

// el makes an element. Of the attributes, null and false are left out.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  const said = children.flat(2).filter((c) => c !== null && c !== undefined && c !== false && c !== "");
  node.append(...said.map((c) => (c instanceof Node ? c : printable(c))));
  return node;
}

// put changes the text only if it differs, so that a selection survives.
export function put(node, text) {
  text = printable(text);
  if (node.textContent !== text) node.textContent = text;
}

// fill replaces the children if what they say has changed.
export function fill(node, signature, build) {
  const key = JSON.stringify(signature);
  if (node.dataset.says === key) return;
  node.dataset.says = key;
  node.replaceChildren(...[build()].flat().filter(Boolean).map((c) => (c instanceof Node ? c : printable(c))));
}

// when is a local time, in UTC for who hovers, with its zone if it stands alone.
export function when(iso, { zone = false, now } = {}) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime()) || date.getTime() <= 0) return el("span", {}, fmt.none);
  return el("time", { datetime: date.toISOString(), title: fmt.utc(date) }, fmt.at(date, now) + (zone ? ` ${fmt.zone}` : ""));
}

// rows brings the rows of a table body to what items say. A row that stays keeps
// its place in the document, and with it the focus and a selection.
export function rows(body, items, keyOf, build) {
  const old = new Map();
  for (const row of body.children) old.set(row.dataset.key, row);
  let at = body.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let row = old.get(key);
    if (row) old.delete(key);
    else row = el("tr", { role: "row", "data-key": key });
    build(row, item);
    if (row === at) at = at.nextElementSibling;
    else body.insertBefore(row, at);
  }
  for (const row of old.values()) row.remove();
}

// cells are those of one row; built anew only where what they say has changed.
// columns: [{label, cell(item) -> text or nodes, says(item), number, head}]
export function cells(row, columns, item) {
  if (row.children.length === 0) {
    for (const c of columns) {
      row.append(
        el(c.head ? "th" : "td", {
          role: c.head ? "rowheader" : "cell",
          scope: c.head ? "row" : null,
          class: [c.number && "number", c.class].filter(Boolean).join(" ") || null,
          "data-label": c.label,
        }),
      );
    }
  }
  columns.forEach((c, i) => {
    const cell = row.children[i];
    fill(cell, c.says ? c.says(item) : c.cell(item), () => [c.cell(item)].flat());
    cell.toggleAttribute("data-empty", cell.textContent === "");
  });
}

// table gives a table its head and its body. sort is called with a column's key.
export function table(node, columns, sort) {
  const head = columns.map((c) =>
    el(
      "th",
      { role: "columnheader", scope: "col", class: [c.number && "number", c.class].filter(Boolean).join(" ") || null },
      sort && c.sort ? el("button", { type: "button", class: "sort", onclick: () => sort(c.key) }, c.label) : c.label,
    ),
  );
  const body = el("tbody", { role: "rowgroup" });
  node.append(el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)), body);
  return { body, head };
}

export const requestLink = (id) =>
  id ? el("a", { href: `#request=${encodeURIComponent(id)}`, class: "id" }, id) : el("span", { class: "muted" }, "no id");

export const place = (topic, partition, offset) => `${topic}/${partition}/${offset}`;

const signs = { granted: "✓", failed: "✕", parked: "◷", "dead-letter": "⚠" };

// end is how a request ended: a sign and words, so that colour is not needed.
export function end(trail) {
  const words = { granted: "granted", failed: "failed", parked: "parked", "dead-letter": "dead letter" };
  if (!trail.end) return el("span", { class: "chip" }, trail.state || "unfinished");
  return el(
    "span",
    { class: "chip", "data-end": trail.end },
    el("span", { "aria-hidden": "true", class: "glyph" }, signs[trail.end] || "•"),
    words[trail.end] || trail.end,
    trail.reason ? el("span", { class: "reason" }, trail.reason) : null,
  );
}

// copy works without the permission for the clipboard, and where the page is not
// a secure context. It says whether it did.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const had = document.activeElement;
  const area = el("textarea", { class: "unseen", readonly: true, "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  let done = false;
  try {
    done = document.execCommand("copy");
  } catch {
    done = false;
  }
  area.remove();
  had?.focus?.({ preventScroll: true });
  return done;
}

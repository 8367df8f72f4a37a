// What ended of late, live unless paused, and the dead letters.

import { byId, cells, copy, el, end, place, put, requestLink, rows, table, when } from "./dom.js";
import * as fmt from "./format.js";

const took = (t) => (t.ended_at ? (Date.parse(t.ended_at) - Date.parse(t.written)) / 1000 : null);

const endColumns = [
  { label: `Ended (${fmt.zone})`, says: (t) => [t.ended_at, new Date().getDate()], cell: (t) => (t.ended_at ? when(t.ended_at) : "") },
  { label: "Request", class: "request", head: true, says: (t) => t.request_id, cell: (t) => requestLink(t.request_id) },
  { label: "End", class: "end", says: (t) => [t.end, t.reason], cell: end },
  { label: "Attempts", number: true, cell: (t) => fmt.count(t.attempts) },
  { label: "After", number: true, cell: (t) => fmt.duration(took(t)) },
  { label: "Record", class: "place", cell: (t) => place(t.topic, t.partition, t.offset) },
];

const letterColumns = [
  { label: `When (${fmt.zone})`, says: (d) => [d.at, new Date().getDate()], cell: (d) => when(d.at) },
  { label: "Reason", class: "reason-of", head: true, says: (d) => [d.reason, d.in_doubt], cell: (d) => [d.reason, d.in_doubt ? el("span", { class: "chip", "data-state": "wait" }, "in doubt") : null].filter(Boolean) },
  { label: "Request", class: "request", says: (d) => d.request_id, cell: (d) => requestLink(d.request_id) },
  { label: "Attempts", number: true, cell: (d) => fmt.count(d.attempts) },
  { label: "What was wrong", class: "why", cell: (d) => d.error },
  { label: "To replay it", class: "command", says: (d) => d.command, cell: (d) => d.command ? command(d.command) : "" },
];

let ends;
let letters;
let paused = false;

export function startEnds() {
  ends = table(byId("ends-table"), endColumns);
  letters = table(byId("dead-letters-table"), letterColumns);
  byId("ends-pause").addEventListener("click", () => {
    paused = !paused;
    byId("ends-pause").setAttribute("aria-pressed", String(paused));
    put(byId("ends-pause"), paused ? "Paused: go on" : "Pause");
  });
}

export function showEnds(trails) {
  if (paused) return;
  rows(ends.body, trails, keyOf, (row, t) => cells(row, endColumns, t));
  byId("ends-empty").hidden = trails.length > 0;
}

export function showDeadLetters(list) {
  rows(letters.body, list, (d) => `${d.source} ${d.at}`, (row, d) => cells(row, letterColumns, d));
  byId("dead-letters-empty").hidden = list.length > 0;
}

// A record can come back and end again where its first end was not committed.
const keyOf = (t) => `${place(t.topic, t.partition, t.offset)} ${t.ended_at}`;

// command is shown whole, and copied by one press.
function command(text) {
  const code = el("code", { tabindex: "0" }, text);
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy: ${text}` }, "Copy");
  button.addEventListener("click", async () => {
    const done = await copy(text);
    put(button, done ? "Copied" : "Press Ctrl+C");
    if (!done) getSelection().selectAllChildren(code);
    setTimeout(() => put(button, "Copy"), 2500);
  });
  return el("div", { class: "copyable" }, code, button);
}

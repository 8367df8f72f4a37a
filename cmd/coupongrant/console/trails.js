// What this replica knows of a request: a card for each of its records.

import { cells, el, end, place, rows, table, when } from "./dom.js";
import * as fmt from "./format.js";

// trailCard is one record, and what became of it.
export function trailCard(trail) {
  const own = place(trail.topic, trail.partition, trail.offset);
  return el("article", { class: "trail" },
    el("p", { class: "sentence" }, end(trail), " ", sentence(trail)),
    factList([
      ["Record", own],
      trail.source && trail.source !== own ? ["First written as", trail.source] : null,
      ["Written", when(trail.written, { zone: true })],
      ["Taken in", when(trail.taken_at, { zone: true })],
      trail.ended_at ? ["Ended", when(trail.ended_at, { zone: true }), ` after ${fmt.duration((Date.parse(trail.ended_at) - Date.parse(trail.written)) / 1000)}`] : null,
      trail.next_at ? ["Due", when(trail.next_at, { zone: true })] : null,
      ["In doubt", trail.in_doubt ? "yes: an attempt may have granted it" : "no"],
      trail.detail ? ["What was wrong", trail.detail] : null,
    ]),
    attempts(trail));
}

function sentence(trail) {
  switch (trail.state) {
    case "waits": return `It waits. ${fmt.sentence(trail.why)}`;
    case "called": return `A call for it is under way. ${fmt.sentence(trail.why)}`;
    case "ended": return `Its end is found and not yet visible to readers. ${fmt.sentence(trail.why)}`;
    case "moved": return "Its partition left this replica before it had an end: the topics know what became of it.";
    default: return `${done[trail.end] ?? "Done"}, visible to readers.`;
  }
}

const done = { granted: "The coupon is granted", failed: "It failed", parked: "It was handed to the retry topic", "dead-letter": "It is left to a person" };

export function factList(facts) {
  return el("dl", { class: "facts" }, facts.filter(Boolean).map(([name, ...value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function attempts(trail) {
  const log = trail.log ?? [];
  if (log.length > 0) return attemptTable(log, trail.attempts);
  return el("p", { class: "muted" }, trail.attempts ? `${fmt.plural(trail.attempts, "attempt")}; this replica did not make them.` : "No attempt yet.");
}

const columns = [
  { label: "#", number: true, cell: (a) => String(a.number) },
  { label: `At (${fmt.zone})`, head: true, says: (a) => a.at, cell: (a) => when(a.at) },
  { label: "Answer about", cell: (a) => a.about || fmt.none },
  { label: "Code", cell: (a) => (a.about || a.code ? a.code : "✓ granted") },
];

// attemptTable lists the last attempts of so many.
export function attemptTable(log, made) {
  const all = Math.max(made, log.length);
  const node = el("table", { role: "table", class: "attempts" }, el("caption", {}, log.length < all ? `The last ${fmt.count(log.length)} of ${fmt.count(all)} attempts` : fmt.plural(all, "attempt")));
  const { body } = table(node, columns);
  const numbered = log.map((a, i) => ({ ...a, number: all - log.length + i + 1 }));
  rows(body, numbered, (a) => String(a.number), (row, a) => cells(row, columns, a));
  return node;
}

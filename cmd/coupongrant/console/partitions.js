// The partitions of this replica: where each stands, and in a sentence why it waits.

import { byId, cells, el, put, requestLink, rows, table } from "./dom.js";
import * as fmt from "./format.js";

const waits = (p) => p.why !== "";
const ageOf = (p, now) => (p.oldest ? (now - Date.parse(p.oldest.written)) / 1000 : -1);

let moment = Date.now(); // of the status that is shown
let sorted = { key: "waits", down: true };
let shown = [];

const columns = [
  { key: "waits", label: "State", sort: (p) => (waits(p) ? 1e12 + ageOf(p, moment) : 0), says: waits, cell: (p) => el("span", { class: "chip", "data-state": waits(p) ? "wait" : "good" }, el("span", { "aria-hidden": "true", class: "glyph" }, waits(p) ? "‖" : "✓"), waits(p) ? "waits" : "moves") },
  { key: "topic", label: "Partition", class: "partition", head: true, sort: (p) => `${p.topic}/${String(p.partition).padStart(6, "0")}`, says: (p) => [p.topic, p.partition], cell: (p) => [p.topic, el("b", {}, `/${p.partition}`)] },
  { key: "why", label: "Why it waits", class: "why", cell: (p) => fmt.sentence(p.why) },
  { key: "oldest", label: "Oldest unfinished", class: "oldest", says: (p) => p.oldest && [p.oldest.request_id, p.oldest.offset], cell: (p) => (p.oldest ? (p.oldest.request_id ? requestLink(p.oldest.request_id) : `offset ${fmt.count(p.oldest.offset)}`) : "") },
  { key: "age", label: "Age", number: true, sort: (p) => ageOf(p, moment), says: (p) => p.oldest && fmt.age(ageOf(p, moment)), cell: (p) => (p.oldest ? el("span", { title: `written ${fmt.utc(new Date(p.oldest.written))}` }, fmt.age(ageOf(p, moment))) : "") },
  { key: "attempts", label: "Attempts", number: true, sort: (p) => p.oldest?.attempts ?? -1, cell: (p) => (p.oldest ? fmt.count(p.oldest.attempts) : "") },
  { key: "answer", label: "Last answer", sort: (p) => p.oldest?.last_answer ?? "", cell: (p) => p.oldest?.last_answer ?? "" },
  { key: "backlog", label: "Backlog", number: true, sort: (p) => p.backlog, cell: (p) => fmt.count(p.backlog) },
  { key: "unfinished", label: "Window", number: true, sort: (p) => p.unfinished, cell: (p) => (p.parked ? `${fmt.count(p.unfinished)} (${fmt.count(p.parked)} not due)` : fmt.count(p.unfinished)) },
  { key: "bytes", label: "Size", number: true, sort: (p) => p.bytes, cell: (p) => fmt.bytes(p.bytes) },
  { key: "watermark", label: "Committed", number: true, cell: (p) => fmt.count(p.watermark) },
  { key: "next", label: "Next", number: true, cell: (p) => fmt.count(p.next) },
  { key: "end", label: "End", number: true, cell: (p) => (p.end < 0 ? fmt.none : fmt.count(p.end)) },
];

let parts;

export function startPartitions() {
  parts = table(byId("partitions-table"), columns, (key) => {
    sorted = { key, down: sorted.key === key ? !sorted.down : key !== "topic" && key !== "answer" };
    draw();
  });
  for (const id of ["partitions-filter", "partitions-waiting"]) byId(id).addEventListener("input", draw);
  parts.head.forEach((th, i) => { if (columns[i].key === "unfinished") th.title = "taken in, no committed end"; if (columns[i].key === "backlog") th.title = "known to be there without a committed end; what is parked and not due is left out"; });
}

export function showPartitions(partitions, now) {
  shown = partitions;
  moment = now;
  draw();
}

function draw() {
  const words = byId("partitions-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const onlyWaiting = byId("partitions-waiting").checked;
  const fits = (p) => {
    const text = `${p.topic}/${p.partition} ${p.oldest?.request_id ?? ""} ${p.oldest?.last_answer ?? ""} ${p.why}`.toLowerCase();
    return (!onlyWaiting || waits(p)) && words.every((w) => text.includes(w));
  };
  const column = columns.find((c) => c.key === sorted.key);
  const list = shown.filter(fits).sort((a, b) => compare(column.sort(a), column.sort(b)) * (sorted.down ? -1 : 1) || a.topic.localeCompare(b.topic) || a.partition - b.partition);
  rows(parts.body, list, (p) => `${p.topic}/${p.partition}`, (row, p) => {
    cells(row, columns, p);
    row.toggleAttribute("data-waits", waits(p));
  });
  parts.head.forEach((th, i) => {
    if (!columns[i].sort) return;
    if (columns[i].key === sorted.key) th.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    else th.removeAttribute("aria-sort");
  });
  const waiting = shown.filter(waits).length;
  put(byId("partitions-count"), `${fmt.plural(shown.length, "held", "held")}, ${waiting ? `${fmt.count(waiting)} ${waiting === 1 ? "waits" : "wait"}` : "none waits"}${list.length !== shown.length ? `, ${fmt.count(list.length)} shown` : ""}`);
  const empty = byId("partitions-empty");
  empty.hidden = list.length > 0;
  put(empty, shown.length === 0 ? "This replica holds no partition: others do, or the group gives it none yet." : "No partition fits the filter.");
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

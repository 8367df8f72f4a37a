// The four charts, each over a table of its present values: the table is what a
// screen reader reads, and what the chart cannot say.

import { el, put } from "./dom.js";
import * as fmt from "./format.js";
import { span } from "./series.js";

const perSecond = { format: fmt.rate, ticks: fmt.limit, floor: 1 };
const seconds = { format: fmt.duration, ticks: fmt.brief, log: true };

// A line has its own dashes: colour is not the only way to tell it.
const solid = [];
const dashed = [6, 3];
const dotted = [2, 3];
const dashDot = [8, 3, 2, 3];

const panels = [
  {
    id: "ends", title: "Ends", unit: "per second", ...perSecond, totals: true, details: ["failed:", "dead-letter:"],
    lines: [
      { name: "granted", label: "granted", tint: "good", dash: solid },
      { name: "failed", label: "failed", tint: "bad", dash: dashed },
      { name: "parked", label: "parked", tint: "cool", dash: dotted },
      { name: "dead-letter", label: "dead letters", tint: "odd", dash: dashDot },
    ],
  },
  {
    id: "attempts", title: "Attempts", unit: "calls per second", ...perSecond, totals: true, rowsAre: "answer about", details: ["code:"],
    lines: [
      { name: "attempts:granted", label: "granted", tint: "good", dash: solid },
      { name: "attempts:request", label: "the request", tint: "warm", dash: dashed },
      { name: "attempts:gateway", label: "the gateway", tint: "bad", dash: dotted },
      { name: "attempts:app", label: "our app", tint: "odd", dash: dashDot },
      { name: "attempts:unknown", label: "unknown", tint: "cool", dash: [1, 3] },
    ],
  },
  {
    id: "calls", title: "Call latency", unit: "of one call", ...seconds,
    lines: percentiles("calls"),
  },
  {
    id: "age", title: "Event to outcome", unit: "written to committed", ...seconds,
    lines: percentiles("ends"),
  },
];

function percentiles(of) {
  return [
    { name: `${of}:p50`, label: "half of them, p50", tint: "p50", dash: solid },
    { name: `${of}:p95`, label: "19 of 20, p95", tint: "p95", dash: dashed },
    { name: `${of}:p99`, label: "99 of 100, p99", tint: "p99", dash: dotted },
  ];
}

export class Charts {
  #charts;

  constructor(place, history) {
    this.#charts = panels.map((panel) => new Chart(place, panel, history));
  }

  // show draws up to now. Where nothing is known any more, the present values go.
  show(now, live) {
    for (const chart of this.#charts) chart.show(now, live);
  }

  // recolour follows a change of theme.
  recolour() {
    for (const chart of this.#charts) chart.recolour();
  }
}

class Chart {
  #panel;
  #plot;
  #rows = new Map(); // by name: the row's cells
  #body;
  #head;
  #until = Date.now() / 1000;
  #pointed = null; // index under the pointer
  #live = false; // the present values are of now
  #last = [];
  #history;

  constructor(place, panel, history) {
    this.#panel = panel;
    this.#history = history;
    const canvas = el("div", { class: "canvas", role: "img", "aria-label": `${panel.title}, ${panel.unit}: a line chart of the last 10 minutes. Its present values are in the table that follows.` });
    this.#head = el("th", { scope: "col", class: "number" }, "now");
    this.#body = el("tbody");
    place.append(
      el("figure", { class: "panel chart", id: `chart-${panel.id}` },
        el("figcaption", {}, el("h3", {}, panel.title), el("span", { class: "note" }, panel.unit)),
        canvas,
        el("table", { class: "legend" },
          el("caption", { class: "unseen" }, `${panel.title}, ${panel.unit}`),
          el("thead", {}, el("tr", {}, el("th", { scope: "col" }, panel.rowsAre ?? el("span", { class: "unseen" }, "line")), this.#head, panel.totals && el("th", { scope: "col", class: "number" }, "since start"))),
          this.#body)),
    );
    for (const line of panel.lines) this.#row(line.name, line.label, line);
    this.#plot = new uPlot(this.#options(canvas), [[], ...panel.lines.map(() => [])], canvas);
    new ResizeObserver(([entry]) => {
      const { width, height } = entry.contentRect;
      if (width > 0) this.#plot.setSize({ width: Math.floor(width), height: Math.floor(height) });
    }).observe(canvas);
  }

  show(now, live) {
    this.#until = now;
    this.#live = live;
    this.#last = [this.#history.times, ...this.#panel.lines.map((line) => this.#history.column(line.name))];
    this.#plot.setData(this.#last);
    for (const prefix of this.#panel.details ?? []) {
      for (const name of this.#history.seen(prefix)) this.#detail(name, prefix);
    }
    this.#values();
  }

  recolour() {
    this.#plot.redraw(false, true);
  }

  // #values of now, or of the moment under the pointer.
  #values() {
    const i = this.#pointed;
    const pointed = i !== null && this.#history.times[i] !== undefined;
    put(this.#head, pointed ? fmt.at(new Date(this.#history.times[i] * 1000)) : "now");
    for (const [name, row] of this.#rows) {
      const value = pointed ? this.#history.column(name)[i] : this.#live ? this.#history.now(name) : null;
      put(row.now, this.#panel.format(value));
      if (row.total) put(row.total, fmt.count(this.#history.latest?.totals[name] ?? (this.#live ? 0 : null)));
    }
  }

  // #detail is a row for a reason or a code, made when it first comes.
  #detail(name, prefix) {
    if (this.#rows.has(name)) return;
    const label = name.slice(prefix.length);
    const [about, code] = label.split("/");
    this.#row(name, prefix === "code:" ? `${about} ${code || "no code"}` : label, null, prefix);
  }

  #row(name, label, line, prefix) {
    const now = el("td", { class: "number" }, fmt.none);
    const total = this.#panel.totals ? el("td", { class: "number" }, fmt.none) : null;
    const row = el("tr", { class: line ? null : "detail" }, el("th", { scope: "row" }, line && swatch(line), label), now, total);
    const under = { "failed:": "failed", "dead-letter:": "dead-letter" }[prefix];
    const above = under && [...this.#rows.entries()].filter(([n]) => n === under || n.startsWith(prefix)).at(-1)?.[1].row;
    if (above) above.after(row);
    else this.#body.append(row);
    this.#rows.set(name, { row, now, total, swatch: row.querySelector("svg") });
  }

  #options(canvas) {
    const colour = (name) => () => getComputedStyle(this.#rows.get(name).swatch).color;
    const of = (property) => () => getComputedStyle(canvas)[property];
    const axis = { font: "11px system-ui, sans-serif", stroke: of("color"), grid: { stroke: of("borderTopColor"), width: 1 }, ticks: { show: false } };
    return {
      width: Math.max(200, canvas.clientWidth), height: Math.max(100, canvas.clientHeight), legend: { show: false }, padding: [8, 14, 0, 0],
      cursor: { y: false, points: { size: 5 }, drag: { x: false, y: false }, sync: { key: "coupongrant", setSeries: false } },
      scales: { x: { time: true, range: () => [Math.max(this.#until - span, Math.min(this.#history.times[0] ?? Infinity, this.#until - least)), this.#until] }, y: this.#panel.log ? logarithmic : { range: (_, __, most) => [0, Math.max(this.#panel.floor, (most ?? 0) * 1.1)] } },
      axes: [
        { ...axis, space: 70, size: 22, values: (_, ticks) => ticks.map((t) => fmt.at(new Date(t * 1000)).slice(-8, -3)) },
        { ...axis, space: 28, size: 50, gap: 4, values: (_, ticks) => ticks.map((t) => (t === null ? "" : this.#panel.ticks(t))) },
      ],
      series: [{}, ...this.#panel.lines.map((line) => ({ label: line.label, stroke: colour(line.name), width: 1.5, dash: line.dash, points: { show: false }, spanGaps: false }))],
      hooks: { setCursor: [(u) => { this.#pointed = u.cursor.idx ?? null; this.#values(); }] },
    };
  }
}

const least = 120; // seconds that a chart shows, however new the page is

// Latencies lie anywhere from a millisecond to minutes.
const logarithmic = {
  distr: 3,
  range: (_, least, most) => {
    if (least === null || most === null || !(most > 0)) return [0.001, 1];
    return [10 ** Math.floor(Math.log10(Math.max(least, 0.0005))), 10 ** Math.ceil(Math.log10(most * 1.001))];
  },
};

// swatch shows a line's colour and dashes beside its name.
function swatch(line) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [name, value] of Object.entries({ viewBox: "0 0 22 8", width: "22", height: "8", "aria-hidden": "true", class: `swatch tint-${line.tint}` })) svg.setAttribute(name, value);
  for (const [name, value] of Object.entries({ d: "M0 4h22", stroke: "currentColor", "stroke-width": "2", "stroke-dasharray": line.dash.join(" ") })) path.setAttribute(name, value);
  svg.append(path);
  return svg;
}

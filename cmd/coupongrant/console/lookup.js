// One request by its id: what this replica knows, at once, and what the topics
// say, on demand. The address of the page names the request.

import { ask, askLines } from "./api.js";
import { byId, el, fill, put } from "./dom.js";
import * as fmt from "./format.js";
import { traceCard } from "./trace.js";
import { trailCard } from "./trails.js";

let id = ""; // that is shown
let scan = null; // an AbortController while the topics are read

const address = (of) => `api/requests?id=${encodeURIComponent(of)}`;

export function startLookup() {
  byId("request-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = byId("request-id").value.trim();
    if (!wanted) return byId("request-id").focus();
    const hash = `#request=${encodeURIComponent(wanted)}`;
    if (location.hash === hash) follow();
    else location.hash = hash;
  });
  addEventListener("hashchange", follow);
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea")) return;
    event.preventDefault();
    byId("request-id").focus();
  });
  follow();
}

// follow shows what the address asks for, and goes there.
function follow() {
  const [name, value] = location.hash.slice(1).split(/=(.*)/s);
  if (name !== "request" || value === undefined) return;
  stop();
  id = decoded(value);
  byId("request-id").value = id;
  byId("request-answer").replaceChildren(el("p", { class: "muted" }, "Looking …"));
  byId("request").scrollIntoView({ block: "start" });
  byId("request-answer").focus({ preventScroll: true });
  refreshLookup();
}

function decoded(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value; // typed by hand
  }
}

// refreshLookup asks again: what waits now may have ended by then.
export async function refreshLookup() {
  if (!id) return;
  const asked = id;
  let known;
  try {
    known = await ask(address(asked));
  } catch {
    return; // the headline says that nobody answers
  }
  if (asked === id) show(known.trails);
}

function show(trails) {
  const answer = byId("request-answer");
  if (!answer.querySelector(".known")) {
    answer.replaceChildren(el("div", { class: "known" }), el("div", { class: "scan" }));
    offerScan();
  }
  fill(answer.querySelector(".known"), [id, trails], () => trails.length === 0 ? unknown() : [
    trails.length > 1 ? el("p", {}, `${fmt.count(trails.length)} records of this id were seen here, the oldest first.`) : null,
    ...trails.map(trailCard),
  ]);
}

const unknown = () => el("p", { class: "sentence" }, "This replica has not seen ", el("b", { class: "id" }, id), " of late: it knows the last 100,000 requests that it took in. Another replica may have had it; the topics know all.");

const scanBox = () => byId("request-answer").querySelector(".scan");

function offerScan(...said) {
  const button = el("button", { type: "button", onclick: startScan }, "Search the topics");
  scanBox().replaceChildren(button, el("span", { class: "note" }, "reads them from their start, which can take a while"), ...said);
}

// startScan reads the topics, says how far it is, and can be stopped.
async function startScan() {
  const asked = id;
  const control = (scan = new AbortController());
  const bar = el("progress", { "aria-label": "Offsets read", max: "1", value: "0" });
  const text = el("span", { class: "note" }, "looking at the topics …");
  const cancel = el("button", { type: "button", onclick: stop }, "Stop");
  scanBox().replaceChildren(bar, cancel, text);
  cancel.focus({ preventScroll: true });
  let trace = null;
  try {
    await askLines(`${address(asked)}&scan=1`, control.signal, (line) => {
      if (line.error) throw new Error(line.error);
      if (line.trace) return (trace = line.trace);
      bar.max = Math.max(1, line.total);
      bar.value = line.read;
      put(text, `${fmt.count(line.read)} of ${fmt.count(line.total)} offsets read`);
    });
    if (asked === id) offerScan(trace ? traceCard(trace) : cut("the answer was cut off"));
  } catch (error) {
    if (asked === id) offerScan(error.name === "AbortError" ? el("p", {}, "Stopped.") : cut(error.message));
  }
}

const cut = (why) => el("p", {}, `The search ended early: ${why}.`);

function stop() {
  scan?.abort();
  scan = null;
}

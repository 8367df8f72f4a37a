// The console: asks this replica once a second and shows what it says. When it
// does not answer, nothing on the page looks as if it were of now.

import { ask } from "./api.js";
import { Charts } from "./charts.js";
import { byId, el, fill, put } from "./dom.js";
import { showDeadLetters, showEnds, startEnds } from "./ends.js";
import * as fmt from "./format.js";
import { showGateway } from "./gateway.js";
import { showHeadline, showLost } from "./headline.js";
import { refreshLookup, startLookup } from "./lookup.js";
import { showPartitions, startPartitions } from "./partitions.js";
import { History } from "./series.js";
import { startTheme } from "./theme.js";

const every = 1000;
const slowly = 5; // what seldom changes is asked for in each fifth round
const old = 5; // seconds after which facts of the session are said to be old

const history = new History();
const charts = new Charts(byId("charts"), history);
let answered = null; // when the last answer came
let lostSince = null;
let arrived = false;

async function round(n) {
  const tried = Date.now();
  try {
    const [status, recent, letters] = await Promise.all([
      ask("api/status"),
      ask("api/recent?limit=50"),
      n % slowly === 0 ? ask("api/dead-letters?limit=50") : null,
    ]);
    found(status, recent, letters);
  } catch (error) {
    lost(error, tried);
  }
  if (n % 2 === 0 && lostSince === null) await refreshLookup();
  if (!arrived && lostSince === null) arrive();
}

// arrive goes where the address points, once the page has its height.
function arrive() {
  arrived = true;
  const part = location.hash.slice(1).split("=")[0];
  if (part) byId(part)?.scrollIntoView({ block: "start" });
}

function found(status, recent, letters) {
  const now = Date.now();
  const theirs = Date.parse(status.started_at) + status.uptime_seconds * 1000; // their clock, to the second: ages are by it
  const apart = Math.abs(theirs - now) > 3000 ? theirs : now;
  answered = now;
  lostSince = null;
  delete document.body.dataset.lost;
  history.add(now / 1000, status.started_at, status.counts);
  const ends = ["granted", "failed", "parked", "dead-letter"].map((name) => history.now(name));
  const rate = ends.includes(null) ? null : ends.reduce((a, b) => a + b);
  showHeadline(status, apart, rate);
  showReplica(status);
  charts.show(now / 1000, true);
  showGateway(status.gateway, history.now("attempts"), apart);
  showPartitions(status.partitions, apart);
  showEnds(recent.recent);
  if (letters) showDeadLetters(letters.dead_letters);
  const behind = (apart - Date.parse(status.at)) / 1000;
  asOf(".as-of", "");
  asOf("#partitions .as-of", behind > old ? `as of ${fmt.at(new Date(status.at))}, ${fmt.age(behind)} ago: the session is busy` : "");
  link("live", `live, ${fmt.at(new Date(now))}`);
}

function lost(error, tried) {
  const now = Date.now();
  if (lostSince === null) {
    lostSince = answered ?? now;
    history.gap(now / 1000);
    document.body.dataset.lost = "";
    if (answered) asOf(".as-of", `as of ${fmt.at(new Date(answered))} ${fmt.zone}, not of now`);
  }
  showLost(answered ? new Date(answered).toISOString() : "", tried, error.message, now);
  charts.show(now / 1000, false);
  link("lost", answered ? `no answer for ${fmt.age((now - answered) / 1000)}` : "no answer");
}

function asOf(where, text) {
  for (const node of document.querySelectorAll(where)) put(node, text);
}

function link(state, text) {
  byId("link").dataset.link = state;
  put(byId("link-text"), text);
}

function showReplica(status) {
  const facts = [["replica", status.replica], ["group", status.group], ["version", status.version], ["up", fmt.age(status.uptime_seconds)]];
  fill(byId("replica"), facts, () => facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value ?? fmt.none))));
}

async function run() {
  for (let n = 0; ; n++) {
    const began = performance.now();
    await round(n);
    await new Promise((done) => setTimeout(done, Math.max(100, every - (performance.now() - began))));
  }
}

put(byId("zone"), `Times are ${fmt.zone}, this browser's zone; each shows its UTC form under the pointer.`);
startTheme(() => charts.recolour());
startPartitions();
startEnds();
startLookup();
run();

// The first thing on the page: does it work, and if not what waits, since when,
// and what mends it.

import { byId, el, fill, put, when } from "./dom.js";
import * as fmt from "./format.js";

// By how soon a person must act. The first hold in this order is the headline.
const kinds = {
  app: "All calls are stopped",
  "lost-input": "Input is missing",
  metadata: "A partition is held",
  topic: "A topic is in the way",
  kafka: "Waits for Kafka",
  registry: "Waits for the schema registry",
  gateway: "Waits for the gateway",
  transaction: "Transactions do not commit",
  stalled: "Nothing moves",
  starting: "Is starting",
  stopping: "Is stopping",
};
const order = Object.keys(kinds);
const titleOf = (hold) => kinds[hold.kind] ?? `Waits: ${hold.kind}`;
const urgency = (hold) => (order.includes(hold.kind) ? order.indexOf(hold.kind) : order.length);

let announced = "";

// showHeadline says how this replica is. rate is of ends per second, null: not known.
export function showHeadline(status, now, rate) {
  const holds = [...status.holds].sort((a, b) => urgency(a) - urgency(b) || a.since.localeCompare(b.since));
  if (!status.live) return say("stuck", "Is stuck: restart it.", stuck, "", rate, holds, now);
  if (holds.length === 0) return say("works", "It works.", working(status, rate), "", null, [], now);
  const [first, ...others] = holds;
  const state = first.kind === "starting" || first.kind === "stopping" ? "passing" : first.kind === "app" || first.kind === "lost-input" ? "person" : "waits";
  say(state, titleOf(first), sentenceOf(first), first.since, rate, others, now, first.where);
}

const stuck = "The session does not pass any more. Nothing is lost by a restart: the successor reads the committed state.";

// showLost says that nothing is known any more, and since when.
export function showLost(since, tried, why, now) {
  const title = since ? "No answer from this replica" : "No answer yet from this replica";
  const text = `${why}. The process may have ended, or the way to it is cut: look at its log, or ask another replica. This page keeps trying.`;
  say("lost", title, text, since, null, [], now);
  put(byId("aside"), `Last try ${fmt.age((now - tried) / 1000)} ago.${since ? " What stands below is of before, and is marked so." : ""}`);
}

function working(status, rate) {
  const waiting = status.partitions.filter((p) => p.why).length;
  const held = `This replica holds ${fmt.plural(status.partitions.length, "partition")}`;
  if (waiting > 0) return `No hold stands. ${held}; in ${fmt.count(waiting)} of them requests wait, see below why.`;
  return rate > 0 ? `No hold stands. ${held}, and nothing waits.` : `No hold stands. ${held}; there is nothing to do at the moment.`;
}

const sentenceOf = (hold) => fmt.sentence(hold.reason);

const signs = { works: "✓", waits: "‖", passing: "…", person: "!", stuck: "✕", lost: "?" };

function say(state, title, sentence, since, rate, others, now, where = "") {
  byId("now").dataset.state = state;
  put(byId("sign"), signs[state]);
  fill(byId("headline"), [title, since, where], () => [
    title, where && title !== where ? el("span", { class: "where" }, ` (${where})`) : null,
    since ? [" since ", when(since, { zone: true })] : null,
  ].flat());
  put(byId("sentence"), sentence);
  put(byId("aside"), since ? `For ${fmt.age((now - Date.parse(since)) / 1000)}.${rate > 0 ? ` Meanwhile ${fmt.rate(rate)} requests a second end.` : ""}` : "");
  fill(byId("holds"), others, () => others.map((hold) => el("li", {},
    el("strong", {}, titleOf(hold)), hold.where ? ` (${hold.where})` : "", " since ", when(hold.since, { zone: true }), el("br"), sentenceOf(hold))));
  document.title = `${signs[state]} ${title.replace(/\.$/, "")} – coupongrant`;
  announce([state, title, where, ...others.map((h) => h.kind + h.where)].join("|"), `${title}${where ? ` (${where})` : ""}${since ? ` since ${fmt.at(new Date(since))}` : ""} ${sentence}${others.length ? ` And ${fmt.plural(others.length, "other hold")}.` : ""}`);
}

// announce speaks when what stands changes, not when a number in it does.
function announce(key, text) {
  if (key === announced) return;
  announced = key;
  put(byId("announce"), text);
}

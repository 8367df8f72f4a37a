// What the topics tell of a request: its records, its parkings, its ends.

import { el, end, place, when } from "./dom.js";
import * as fmt from "./format.js";
import { attemptTable, factList } from "./trails.js";

// traceCard shows the result of a search.
export function traceCard(trace) {
  return el("div", { class: "trace" },
    el("p", { class: "sentence" }, el("strong", {}, "The topics say: "), trace.verdict.replace(/[.\s]*$/, "."),
      el("span", { class: "note" }, ` ${fmt.count(trace.records_read)} offsets read.`)),
    trace.records.map(record));
}

function record(r) {
  return el("article", { class: "trail" },
    el("p", { class: "sentence" }, el("b", { class: "id" }, r.source), ": ", states[r.state] ?? r.state),
    factList([
      r.written ? ["Written", when(r.written, { zone: true })] : null,
      r.replay_of ? ["Replay of", r.replay_of] : null,
      r.coupon_code ? ["Coupon code", r.coupon_code] : null,
      r.expires_at ? ["Expires", when(r.expires_at, { zone: true })] : null,
      r.in_doubt ? ["In doubt", "yes"] : null,
      r.note ? ["Note", r.note] : null,
    ]),
    r.more_parked ? el("p", {}, end({ end: "parked" }), `, ${fmt.plural(r.more_parked, "time")} before these`) : null,
    r.parked.map((p) => el("p", {}, end({ end: "parked" }), " at ", when(p.written, { zone: true }), ` as ${place(p.topic, p.partition, p.offset)}`,
      p.attempts === undefined ? "" : `, after ${fmt.plural(p.attempts, "attempt")}`, p.next_at ? [", due ", when(p.next_at, { zone: true })] : "")),
    r.more_ends ? el("p", {}, fmt.plural(r.more_ends, "earlier end")) : null,
    r.ends.map(ending));
}

const states = {
  granted: "granted", failed: "failed", "dead-letter": "a dead letter", unreadable: "its end cannot be read", waits: "it waits", parked: "it waits in the retry topic",
  unaccounted: "committed as finished, no end in view", doubled: "two ends, which breaks the promise",
};

function ending(e) {
  return el("div", { class: "ending" },
    el("p", {}, end({ end: e.kind, reason: e.reason }), e.ended_at ? [" at ", when(e.ended_at, { zone: true })] : "", ` as ${place(e.topic, e.partition, e.offset)}`,
      e.coupon ? `, coupon ${e.coupon.instance_id}` : "", e.gateway_message ? `: ${e.gateway_message}` : "", e.error ? `: ${e.error}` : ""),
    e.attempt_log?.length ? attemptTable(e.attempt_log, e.attempts ?? e.attempt_log.length) : null);
}

// What the engine says in the staged tests. Keys are those of the Go types, which
// refuse others.
"use strict";

const at = (secondsAgo) => new Date(Date.now() - secondsAgo * 1000).toISOString();

exports.at = at;
exports.topics = ["coupon-grant-requested.store", "coupon-grant-requested.loyalty", "coupon-grant-retry"];

exports.gateway = { breaker: "closed", trouble: [], in_flight: 3, max_in_flight: 64, rate: 50, rate_of_fleet: 200 };

exports.partition = (topic, partition, more = {}) => ({
  topic, partition, watermark: 1000, ceiling: 1010, next: 1005, end: 1005, unfinished: 5, parked: 0, backlog: 5, bytes: 4096, why: "", ...more,
});

exports.trail = (id, more = {}) => ({
  request_id: id, topic: exports.topics[0], partition: 3, offset: 42, source: `${exports.topics[0]}/3/42`,
  written: at(5), taken_at: at(4.9), state: "committed", in_doubt: false, attempts: 1, log: [{ at: at(4.8), about: "", code: "" }],
  end: "granted", ended_at: at(4.2), ...more,
});

exports.scene = (more = {}) => ({
  status: {
    live: true, holds: [], at: at(0.1), gateway: exports.gateway,
    partitions: exports.topics.flatMap((topic) => [0, 1].map((n) => exports.partition(topic, n))),
    ...more.status,
  },
  recent: more.recent ?? [exports.trail("r-1")],
  letters: more.letters ?? [],
  trails: more.trails ?? {},
  traces: more.traces ?? {},
});

exports.hold = (kind, reason, more = {}) => ({ kind, reason, since: at(130), ...more });

exports.gatewayHold = () => exports.hold("gateway", "the gateway is in trouble, too many calls failed or were slow, and the breaker is open: requests wait and the gateway is probed by itself; check gateway.url and the gateway's status if this lasts");

// Strings of producers and of the gateway that try to be more than text.
exports.hostile = [
  '<img src=x onerror="alert(1)">', "<script>alert(2)</script>", '"><svg onload=alert(3)>', "javascript:alert(4)", "{{7*7}}${7*7}", "a".repeat(64),
  "‮evil", "..", "a/b?c#d&e=%41", "'; rm -rf ~ #", "<b>bold</b>&amp;", "a b",
];

// busy is what a bad night looks like.
exports.busy = () => {
  const partitions = exports.topics.flatMap((topic, t) => Array.from({ length: t === 2 ? 16 : 24 }, (_, n) => exports.partition(topic, n, n % 3 === 0 ? {
    unfinished: 240 + n, bytes: 350_000 * (n + 1), backlog: 1200 + n * 10, end: 2200 + n,
    oldest: { offset: 1000, request_id: `order-2026-11-26-${t}-${n}`, written: at(100 + n * 7 + t), attempts: n, last_answer: "http-503" },
    why: `Its oldest request is called again in ${n + 1} s: the gateway answered http-503 ${n} times.`,
  } : {})));
  return exports.scene({
    status: {
      partitions,
      holds: [exports.gatewayHold(), exports.hold("registry", "the schema registry does not answer: records written with schema 7 wait, others go on; check registry.url and the registry", { where: "schemas" })],
      gateway: { ...exports.gateway, breaker: "open", banned_until: at(-200), in_flight: 61, budget_left: 1234, budget_of_day: 100_000, session_expires_at: at(-5 * 86400) },
    },
    recent: Array.from({ length: 50 }, (_, n) => exports.trail(`order-${n}`, { offset: n, ended_at: at(n), written: at(n + 2), ...[{}, { end: "failed", reason: "OUT_OF_STOCK" }, { end: "parked", next_at: at(-20) }, { end: "dead-letter", reason: "invalid-request", detail: "coupon_type 9 is not accepted" }][n % 4] })),
    letters: exports.hostile.map((text, n) => exports.trail(text, { offset: n, source: `${exports.topics[0]}/3/${n}`, end: "dead-letter", reason: "grant-unknown", in_doubt: true, attempts: 10, detail: `gave up: ${text}` })),
  });
};

// What lets calls start, or stops them: breaker, credentials, ban, quota, slots.

import { byId, el, fill, when } from "./dom.js";
import * as fmt from "./format.js";

const day = 24 * 3600;
const soon = 14; // days before its end that the session is worth a word

// showGateway shows status.gateway; calls is how many start a second, null: not known.
export function showGateway(gateway, calls, now) {
  const tiles = [breaker(gateway), credentials(gateway), session(gateway, now), ban(gateway, now), slots(gateway), share(gateway, calls), budget(gateway)];
  fill(byId("tiles"), tiles.map((t) => [t.label, t.state, t.sign, t.value, t.note, t.part, t.until]), () => tiles.map(tile));
}

function tile({ label, state, sign, value, note, part, until }) {
  const bar = part !== undefined ? el("div", { class: "gauge", "aria-hidden": "true" }, el("div")) : null;
  if (bar) bar.firstChild.style.width = `${Math.min(100, Math.max(0, part * 100))}%`;
  return el("div", { class: "tile", "data-state": state || null },
    el("dt", {}, label),
    el("dd", { class: "value" }, sign ? el("span", { class: "glyph", "aria-hidden": "true" }, sign) : null, value, until ? when(until, { zone: true }) : null),
    bar,
    el("dd", { class: "note" }, note));
}

function breaker({ breaker: state }) {
  const says = {
    closed: ["good", "✓", "calls go out"],
    "half-open": ["wait", "◐", "a few calls probe the gateway"],
    open: ["wait", "‖", "calls wait; the gateway is probed"],
  }[state] ?? ["", "", ""];
  return { label: "Breaker", state: says[0], sign: says[1], value: state, note: says[2] };
}

function credentials({ trouble }) {
  if (trouble.length === 0) return { label: "Our app", state: "good", sign: "✓", value: "accepted", note: "no answer complains of it" };
  return { label: "Our app", state: "bad", sign: "!", value: trouble.join(", "), note: "all calls are stopped: see above what mends it" };
}

function session({ session_expires_at: expires }, now) {
  if (!expires) return { label: "Session", value: "no date", note: "gateway.session_expires_at is not set" };
  const left = (Date.parse(expires) - now) / 1000;
  const date = fmt.day(new Date(expires));
  if (left <= 0) return { label: "Session", state: "bad", sign: "!", value: "over", note: `ended ${date}: authorise again` };
  const near = left < soon * day;
  return { label: "Session", state: near ? "wait" : "good", sign: near ? "⚠" : "✓", value: left < 2 * day ? fmt.age(left) : fmt.plural(Math.floor(left / day), "day"), note: `until ${date}${near ? ": authorise again before" : ""}` };
}

function ban({ banned_until: until }, now) {
  if (!until || Date.parse(until) <= now) return { label: "Ban", state: "good", sign: "✓", value: "none", note: "the gateway limits nothing" };
  return { label: "Ban", state: "wait", sign: "‖", value: "until ", until, note: `for ${fmt.age((Date.parse(until) - now) / 1000)} more` };
}

function slots({ in_flight: calls, max_in_flight: most }) {
  return { label: "Calls in flight", value: `${fmt.count(calls)} of ${fmt.count(most)}`, part: most ? calls / most : 0, note: "gateway.max_in_flight" };
}

function share({ rate, rate_of_fleet: fleet }, calls) {
  if (!fleet) return { label: "Rate", value: `${fmt.rate(calls)} /s`, note: "no limit: gateway.rate is not set" };
  return { label: "Rate", value: `${fmt.rate(calls)} of ${fmt.limit(rate)} /s`, part: rate > 0 && calls !== null ? calls / rate : 0, note: `this replica's share of the fleet's ${fmt.limit(fleet)}` };
}

function budget({ budget_left: left, budget_of_day: of }) {
  if (left === undefined || left === null) return { label: "Calls of today", value: "no budget", note: "gateway.daily_budget is not set" };
  return { label: "Calls of today", state: left === 0 ? "wait" : null, sign: left === 0 ? "‖" : "", value: `${fmt.count(left)} left`, note: `for this replica${of ? `, of the fleet's ${fmt.count(of)}` : ""}` };
}

// Numbers and times for people. Times are local and name their zone; their UTC
// form stands in the title (see dom.js).

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const none = "–";

const known = (n) => typeof n === "number" && Number.isFinite(n);

export const count = (n) => (known(n) ? whole.format(n) : none);

export function rate(n) {
  if (!known(n)) return none;
  if (n === 0) return "0";
  if (n < 0.1) return "<0.1";
  return n < 99.95 ? tenths.format(n) : whole.format(n);
}

// limit is a rate that somebody set.
export const limit = (n) => (Number.isInteger(n) ? whole.format(n) : rate(n));

export function bytes(n) {
  if (!known(n)) return none;
  const units = ["B", "KiB", "MiB", "GiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i > 0 && n < 10 ? tenths.format(n) : whole.format(n)} ${units[i]}`;
}

// duration of some seconds, in two units at most.
export function duration(s) {
  if (!known(s)) return none;
  if (s < 0) s = 0;
  if (s < 0.001) return "<1 ms";
  if (s < 0.9995) return `${whole.format(s * 1000)} ms`;
  if (s < 9.95) return `${tenths.format(s)} s`;
  if (s < 59.5) return `${whole.format(s)} s`;
  s = Math.round(s);
  if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
  const m = Math.round(s / 60);
  if (m < 24 * 60) return two(Math.floor(m / 60), "h", m % 60, "min");
  const h = Math.round(m / 60);
  return two(Math.floor(h / 24), "d", h % 24, "h");
}

function two(a, unitA, b, unitB) {
  return b === 0 ? `${a} ${unitA}` : `${a} ${unitA} ${b} ${unitB}`;
}

// brief is a duration in one unit, for an axis.
export function brief(s) {
  if (s < 59.5) return duration(s);
  if (s < 600) return `${whole.format(s)} s`;
  return s < 36_000 ? `${whole.format(s / 60)} min` : `${whole.format(s / 3600)} h`;
}

// age of something that changes each second: one unit once it is a minute.
export function age(s) {
  if (!known(s)) return none;
  if (s < 60) return s < 1 ? "<1 s" : `${Math.floor(s)} s`;
  return duration(s < 3600 ? s : Math.floor(s / 60) * 60);
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndClock = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayOnly = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export const zone = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" })
  .formatToParts(new Date())
  .find((p) => p.type === "timeZoneName").value;

// at is a time of day, with the day if that is not today.
export function at(date, now = new Date()) {
  const today = date.toDateString() === now.toDateString();
  return (today ? clock : dayAndClock).format(date);
}

export const day = (date) => dayOnly.format(date);

export const utc = (date) => `${date.toISOString().replace("T", " ").replace("Z", "")} UTC`;

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

// sentence begins with a capital and ends with a full stop; of nothing it is nothing.
export const sentence = (text) => (text ? text.charAt(0).toUpperCase() + text.slice(1).replace(/[.\s]*$/, ".") : "");

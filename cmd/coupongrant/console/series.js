// What the page knows of the last minutes: rates and percentiles, made from the
// totals that each answer of /api/status carries.

export const span = 600; // seconds that the charts show
const window = 5; // seconds that a rate is taken over
const latencyWindow = 10; // and a percentile: fewer calls would make it jump

// percentile of what came between two states of a histogram whose buckets are
// cumulative. Within a bucket, values are taken to lie evenly. Null where nothing
// came; the highest bound where it lies above that.
function percentile(q, before, after) {
  const total = after.count - before.count;
  if (!(total > 0)) return null;
  const rank = q * total;
  let below = 0;
  let low = 0;
  for (let i = 0; i < after.buckets.length; i++) {
    const { le } = after.buckets[i];
    const upTo = after.buckets[i].count - (before.buckets[i]?.count ?? 0);
    if (upTo >= rank) return upTo === below ? le : low + ((le - low) * (rank - below)) / (upTo - below);
    below = upTo;
    low = le;
  }
  return low;
}

const nothing = { count: 0, buckets: [] };

// flat makes one level of names of the counts: "failed:EXPIRED", "attempts:gateway/15".
function flat(counts) {
  const names = { granted: counts.granted ?? 0, parked: counts.parked ?? 0, failed: 0, "dead-letter": 0 };
  for (const [reason, n] of Object.entries(counts.failed ?? {})) {
    names[`failed:${reason}`] = n;
    names.failed += n;
  }
  for (const [reason, n] of Object.entries(counts.dead_letters ?? {})) {
    names[`dead-letter:${reason}`] = n;
    names["dead-letter"] += n;
  }
  names.attempts = 0;
  for (const about of ["granted", "request", "gateway", "app", "unknown"]) names[`attempts:${about}`] = 0;
  for (const [label, n] of Object.entries(counts.attempts ?? {})) {
    const about = aboutOf(label);
    names[`attempts:${about}`] = (names[`attempts:${about}`] ?? 0) + n;
    if (about !== "granted") names[`code:${label}`] = n;
    names.attempts += n;
  }
  return names;
}

// aboutOf says whose trouble an answer was; a grant has neither about nor code.
const aboutOf = (label) => label.split("/")[0] || "granted";

export class History {
  times = [];
  columns = {}; // by name, as long as times; null: not known
  #samples = []; // the newest last, a little more than a window of them
  #process = "";

  get latest() {
    return this.#samples.at(-1) ?? null;
  }

  // add takes in what one answer says. started tells one process from the next,
  // whose totals begin at nothing.
  add(seconds, started, counts) {
    if (this.#process && this.#process !== started) this.gap(seconds - 0.001);
    this.#process = started;
    const now = {
      seconds,
      totals: flat(counts),
      calls: counts.calls ?? nothing,
      ends: counts.outcome_age ?? nothing,
    };
    this.#samples.push(now);
    while (this.#samples.length > 2 && this.#samples[1].seconds <= seconds - latencyWindow) this.#samples.shift();
    if (this.#samples.length < 2) return; // of one total there is no rate
    const row = {};
    const recent = this.#before(seconds - window);
    for (const [name, total] of Object.entries(now.totals)) {
      row[name] = Math.max(0, total - (recent.totals[name] ?? 0)) / (seconds - recent.seconds);
    }
    const earlier = this.#before(seconds - latencyWindow);
    for (const [name, q] of [["p50", 0.5], ["p95", 0.95], ["p99", 0.99]]) {
      row[`calls:${name}`] = percentile(q, earlier.calls, now.calls);
      row[`ends:${name}`] = percentile(q, earlier.ends, now.ends);
    }
    this.#push(seconds, row);
  }

  // gap says that from here on nothing is known, until the next answer.
  gap(seconds) {
    if (this.#samples.length === 0) return;
    this.#samples = [];
    this.#push(seconds, {});
  }

  // now is the present value of a name; null: not known.
  now(name) {
    return this.columns[name]?.at(-1) ?? null;
  }

  // column of a name, whether it was ever seen or not.
  column(name) {
    return this.columns[name] ?? new Array(this.times.length).fill(null);
  }

  // seen are the names with this beginning that were above zero in the last minutes.
  seen(prefix) {
    return Object.keys(this.columns).filter((name) => name.startsWith(prefix) && this.columns[name].some((v) => v > 0));
  }

  // #before is the newest sample that is at least as old as seconds, or the oldest.
  #before(seconds) {
    let found = this.#samples[0];
    for (const sample of this.#samples) if (sample.seconds <= seconds) found = sample;
    return found;
  }

  #push(seconds, row) {
    for (const name of Object.keys(row)) this.columns[name] ??= new Array(this.times.length).fill(null);
    this.times.push(seconds);
    for (const [name, column] of Object.entries(this.columns)) column.push(row[name] ?? null);
    let old = 0;
    while (this.times[old] < seconds - span - window) old++;
    if (old === 0) return;
    this.times.splice(0, old);
    for (const column of Object.values(this.columns)) column.splice(0, old);
  }
}

// A real Chromium, and what every page of the tests is watched for.
"use strict";

const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");

const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

exports.launch = () => chromium.launch({ executablePath: process.env.CONSOLE_CHROMIUM, args: flags });

// open gives a page and what it did that it must not: requests to another host,
// errors in its console, violations of its policy, dialogs.
exports.open = async (browser, address, options = {}) => {
  const { init, ...context } = options;
  const ctx = await browser.newContext({ viewport: { width: 1366, height: 900 }, timezoneId: "Asia/Shanghai", locale: "en-GB", ...context });
  const page = await ctx.newPage();
  const bad = [];
  const bodies = [];
  let away = false; // the server is not there on purpose
  const host = new URL(address).host;
  page.on("request", (r) => new URL(r.url()).host !== host && bad.push(`request to ${r.url()}`));
  page.on("console", (m) => {
    if (m.type() !== "error" && m.type() !== "warning") return;
    if (away && /Failed to load resource: net::ERR_/.test(m.text())) return;
    bad.push(`console: ${m.text()}`);
  });
  page.on("pageerror", (e) => bad.push(`error: ${e.message}`));
  page.on("dialog", (d) => { bad.push(`dialog: ${d.message()}`); d.dismiss(); });
  page.on("response", (r) => bodies.push(r.text().then((text) => ({ url: r.url(), status: r.status(), text, headers: r.headers() }), () => null)));
  await page.exposeFunction("__violated", (what) => bad.push(`policy: ${what}`));
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (e) => window.__violated(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`)));
  if (init) await page.addInitScript(init);
  await page.goto(address);
  return {
    page, bad,
    responses: async () => (await Promise.all(bodies)).filter(Boolean),
    serverIsAway: (so) => { away = so; },
    close: async () => {
      await ctx.close();
      assert.deepEqual(bad, [], "no other host, no console error, no policy violation, no dialog");
    },
  };
};

// until waits for what a function says, and fails with what it said last.
exports.until = async (what, so, most = 30_000) => {
  const end = Date.now() + most;
  let last;
  for (;;) {
    try {
      last = await so();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) assert.fail(`${what}: not within ${most} ms; last: ${last?.stack ?? last}`);
    await new Promise((r) => setTimeout(r, 50));
  }
};

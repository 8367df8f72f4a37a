// The page of the assembled program with everything real behind it but Tmall.
"use strict";

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { launch, open, until } = require("./browser.js");

const address = process.env.CONSOLE_DEV;
const canary = process.env.CONSOLE_CANARY;

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

const text = (page, selector) => page.locator(selector).innerText();
const number = (s) => Number(s.replaceAll(",", ""));

test("it lives: counts rise, charts fill, an outage is told and its end, requests are found, and no open_id is anywhere", async () => {
  const { page, close, responses } = await open(browser, address);
  await until("it is live", () => page.locator('#link[data-link="live"]').count());

  const granted = async () => number(await text(page, "#chart-ends .legend tbody tr:first-child td:last-child"));
  const first = await until("requests are granted", granted, 30_000);
  await until("and more of them, without a reload", async () => (await granted()) > first + 20, 30_000);
  await until("with a rate", async () => /^[1-9]/.test(await text(page, "#chart-ends .legend tbody tr:first-child td:nth-child(2)")));
  await until("percentiles of calls", async () => / m?s$/.test(await text(page, "#chart-calls .legend tbody tr:first-child td")));
  await until("percentiles from event to outcome", async () => / m?s$/.test(await text(page, "#chart-age .legend tbody tr:first-child td")));
  const drawn = await page.evaluate(() => [...document.querySelectorAll("#charts canvas")].map((c) => new Set(c.getContext("2d").getImageData(0, 0, c.width, c.height).data).size));
  assert.equal(drawn.length, 4);
  assert.ok(drawn.every((colours) => colours > 8), `something is drawn: ${drawn}`);

  const headline = () => text(page, "#headline");
  await until("the outage is the headline", async () => /^Waits for the gateway since/.test(await headline()), 60_000);
  assert.match(await text(page, "#sentence"), /gateway\.url/);
  await until("a partition says why it waits", async () => (await page.locator("#partitions-table tr[data-waits] td.why").allInnerTexts()).some((w) => w !== ""));
  await until("the breaker is shown", async () => /open/.test(await text(page, "#tiles .tile:first-child")));
  await until("its end is told as well", async () => (await headline()) === "It works.", 60_000);

  await page.locator("#ends-pause").click(); // or else another row stands there by the time it is clicked
  const link = page.locator("#ends-table tbody th a").last();
  const id = await link.innerText();
  await link.click();
  await until("a request that ended is found", async () => /visible to readers/.test(await text(page, "#request-answer")) && (await page.locator("#request-answer .attempts tbody tr").count()) > 0);
  assert.equal(decodeURIComponent(new URL(page.url()).hash), `#request=${id}`);

  await until("a record that is no request is a dead letter, with its command", async () => /coupongrant dead-letters replay --source coupon-grant-requested\.\w+\/\d+\/\d+/.test(await text(page, "#dead-letters-table")), 60_000);

  const all = await responses();
  assert.ok(["/api/status", "/api/recent", "/api/dead-letters", "/api/requests", "/console/app.js"].every((path) => all.some((r) => new URL(r.url).pathname === path)), "all were asked for");
  assert.ok(all.length > 30, `${all.length} answers`);
  assert.ok(canary.length > 5);
  for (const r of all) {
    assert.ok(r.status < 400, `${r.status} ${r.url}`);
    assert.ok(!r.text.includes(canary), `an open_id in ${r.url}`);
    assert.equal(r.headers["x-content-type-options"], "nosniff", r.url);
  }
  assert.ok(!(await page.content()).includes(canary));
  await close();
});

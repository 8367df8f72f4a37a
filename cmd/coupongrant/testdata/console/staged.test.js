// The page against an engine that says what each test tells it to.
"use strict";

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const axe = require("axe-core");
const { launch, open, until } = require("./browser.js");
const { at, busy, gateway, gatewayHold, hold, hostile, partition, scene, topics, trail } = require("./scenes.js");

const address = process.env.CONSOLE_STAGE;
const control = process.env.CONSOLE_CONTROL;

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

async function tell(path, body = {}) {
  const response = await fetch(control + path, { method: "POST", body: JSON.stringify(body) });
  assert.equal(response.status, 200, await response.text());
}

// play opens the page on a scene.
async function play(sceneNow, options, hash = "") {
  await tell("/scene", sceneNow);
  const opened = await open(browser, `${address}/${hash}`, options);
  await until("the first answer is shown", () => opened.page.locator('#link[data-link="live"]').count());
  return opened;
}

const text = (page, selector) => page.locator(selector).innerText();
const headline = (page) => text(page, "#headline");

test("the headline says whether it works, and else what waits, since when, and the mend", async () => {
  const { page, close } = await play(scene());
  assert.equal(await headline(page), "It works.");
  assert.match(await page.title(), /^✓ It works/);
  const spoken = () => page.locator("#announce").textContent();
  assert.match(await spoken(), /^It works/);

  await tell("/scene", scene({ status: { holds: [gatewayHold()] } }));
  await until("the hold is the headline", async () => /^Waits for the gateway since \d\d:\d\d:\d\d GMT\+8$/.test(await headline(page)));
  assert.match(await text(page, "#sentence"), /the breaker is open.*check gateway\.url/);
  assert.match(await text(page, "#aside"), /^For 2 min/);
  assert.match(await spoken(), /^Waits for the gateway since .* check gateway\.url/);
  assert.match(await page.locator("#headline time").getAttribute("title"), /UTC$/);
  assert.match(await page.title(), /^‖ Waits for the gateway/);

  // What only counts up is shown, and not spoken again.
  await page.evaluate(() => { window.__spoken = 0; new MutationObserver(() => window.__spoken++).observe(document.getElementById("announce"), { childList: true, subtree: true, characterData: true }); });
  await tell("/scene", scene({ status: { holds: [{ ...gatewayHold(), reason: "the gateway is in trouble, 17 calls in a row failed: requests wait" }] } }));
  await until("the new number is shown", async () => (await text(page, "#sentence")).includes("17 calls"));
  assert.equal(await page.evaluate(() => window.__spoken), 0);

  // Who must act comes first, and nothing is left out.
  await tell("/scene", scene({ status: { holds: [gatewayHold(), hold("app", "the gateway refuses our app with code 25: the secret is wrong: check gateway.app_secret_file"), hold("lost-input", "offsets 5 to 9 are gone", { where: "coupon-grant-requested.store/1" })] } }));
  await until("the trouble is the headline", async () => /^All calls are stopped since/.test(await headline(page)));
  assert.equal(await page.locator("#holds li").count(), 2);
  assert.match(await text(page, "#holds"), /Input is missing \(coupon-grant-requested\.store\/1\)/);
  assert.equal(await page.evaluate(() => window.__spoken) > 0, true, "another state is spoken");

  await tell("/scene", scene({ status: { live: false } }));
  await until("a wedged replica is said to be stuck", async () => (await headline(page)) === "Is stuck: restart it.");
  await close();
});

test("partitions: those that wait first, filtered, sorted, with the sentence why", async () => {
  const { page, close } = await play(busy());
  const rows = page.locator("#partitions-table tbody tr");
  assert.equal(await rows.count(), 64);
  assert.match(await text(page, "#partitions-count"), /64 held, 22 wait/);
  const whys = await page.locator("#partitions-table td.why").allInnerTexts();
  assert.ok(whys.slice(0, 22).every((w) => /called again/.test(w)) && whys.slice(22).every((w) => w === ""), "waiting ones first");
  await page.getByLabel("only those that wait").check();
  assert.equal(await rows.count(), 22);
  await page.getByLabel("Filter").fill("loyalty http-503");
  assert.equal(await rows.count(), 8);
  await page.getByLabel("Filter").fill("nothing has this");
  assert.equal(await rows.count(), 0);
  assert.equal(await text(page, "#partitions-empty"), "No partition fits the filter.");
  await page.getByLabel("Filter").fill("");
  await page.getByLabel("only those that wait").uncheck();

  const sort = page.getByRole("button", { name: "Backlog" });
  await sort.press("Enter");
  const head = page.locator("#partitions-table thead th", { hasText: "Backlog" });
  assert.equal(await head.getAttribute("aria-sort"), "descending");
  const backlogs = () => page.locator("#partitions-table td[data-label=Backlog]").allInnerTexts();
  const numbers = (await backlogs()).map((n) => Number(n.replaceAll(",", "")));
  assert.deepEqual(numbers, [...numbers].sort((a, b) => b - a));
  assert.equal(numbers[0], 1410);
  await sort.press("Enter");
  assert.equal(await head.getAttribute("aria-sort"), "ascending");
  await page.waitForTimeout(2100); // two rounds: the focus stays where the person is
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Backlog");
  await close();
});

test("what comes from outside is only ever text", async () => {
  const recent = hostile.map((id, n) => trail(id, { offset: n, end: "failed", reason: id }));
  const trails = Object.fromEntries(hostile.map((id) => [id, [trail(id, { state: "waits", end: "", ended_at: null, why: id, log: [{ at: at(3), about: id, code: id }], detail: id })]]));
  const told = scene({
    recent, trails, letters: hostile.map((id, n) => trail(id, { offset: n, end: "dead-letter", reason: id, detail: id, source: id })),
    status: {
      holds: hostile.map((reason, n) => hold(n === 0 ? "gateway" : reason, reason, { where: reason })), gateway: { ...gateway, trouble: hostile, breaker: hostile[0] },
      partitions: hostile.map((why, n) => partition(why, n, { why, oldest: { offset: 1, request_id: why, written: at(9), attempts: 1, last_answer: why } })),
    },
  });
  const { page, close } = await play(told);
  await until("all of it is shown", async () => (await page.locator("#ends-table tbody tr").count()) === hostile.length);
  const shown = await page.locator("#ends-table tbody th a").allTextContents();
  assert.deepEqual(new Set(shown), new Set(hostile.map((h) => h.replace("\u202e", "\\u202e"))), "and what turns text around is shown as its code");
  for (const id of hostile) {
    await page.getByLabel("Request id").fill(id);
    await page.getByRole("button", { name: "Find", exact: true }).click();
    await until(`${id} is looked up`, async () => (await page.locator("#request-answer .trail").count()) === 1 && (await page.locator("#request-answer").innerText()).includes(id.replace("\u202e", "\\u202e").slice(0, 4)));
    assert.equal(await page.evaluate(() => decodeURIComponent(location.hash.slice("#request=".length))), id);
  }
  const made = await page.evaluate(() => document.querySelectorAll("main script, main [onerror], main [onload], main img, main b > b, main iframe").length);
  assert.equal(made, 0, "no element was made of text");
  await close();
});

test("the policy of the page would stop markup and foreign code, and we would see it", async () => {
  const { page, bad } = await play(scene());
  const refused = await page.evaluate(() => { try { document.body.innerHTML += "<p>x"; return false; } catch { return true; } });
  assert.equal(refused, true, "no text becomes markup");
  await page.evaluate(() => { const s = document.createElement("img"); s.src = "http://127.0.0.2:9/x.png"; document.body.append(s); });
  await until("both are seen", () => bad.some((b) => /require-trusted-types/.test(b)) && bad.some((b) => /img-src/.test(b)));
  await page.context().close();
});

test("a request by its id: known here, linked to, live, or unknown", async () => {
  const waits = trail("order-7", { state: "waits", end: "", ended_at: null, next_at: at(-4), why: "it is called again in 4 s: the gateway answered http-503", attempts: 12, log: [{ at: at(8), about: "gateway", code: "http-503" }, { at: at(4), about: "gateway", code: "timeout" }] });
  const { page, close } = await play(scene({ trails: { "order-7": [waits] } }), {}, "#request=order-7");
  const card = page.locator("#request-answer .trail");
  await until("the linked request is shown", () => card.count());
  assert.match(await card.innerText(), /It waits\. It is called again in 4 s/);
  assert.match(await card.innerText(), /The last 2 of 12 attempts/);
  assert.deepEqual(await card.locator("tbody td:first-child").allInnerTexts(), ["11", "12"]);
  assert.equal(await page.getByLabel("Request id").inputValue(), "order-7");

  await tell("/scene", scene({ trails: { "order-7": [trail("order-7", { attempts: 13 })] } }));
  await until("it is seen to end", async () => /The coupon is granted, visible to readers/.test(await card.innerText()));

  await page.getByLabel("Request id").fill("nobody");
  await page.getByLabel("Request id").press("Enter");
  await until("the unknown is said to be so", async () => /has not seen nobody/.test(await text(page, "#request-answer")));
  assert.equal(new URL(page.url()).hash, "#request=nobody");
  await page.goBack();
  await until("back goes back", async () => /granted/.test(await text(page, "#request-answer")));
  await close();
});

test("the topics are searched for what this replica has not seen", async () => {
  const ended = { kind: "granted", topic: "coupon-granted", partition: 1, offset: 9, written: at(5), source: `${topics[0]}/1/2`, ended_at: at(5), attempts: 2, attempt_log: [{ at: at(7), about: "gateway", code: "http-503" }, { at: at(6) }], coupon: { instance_id: "123" } };
  const parked = { topic: topics[2], partition: 0, offset: 3, written: at(20), attempts: 1, next_at: at(10) };
  const record = { source: `${topics[0]}/1/2`, written: at(30), state: "granted", parked: [parked], ends: [ended] };
  const { page, close } = await play(scene({ traces: { elsewhere: { request_id: "elsewhere", state: "granted", verdict: "granted once: coupon 123, 2 attempts", records: [record], records_read: 12345 } } }), {}, "#request=elsewhere");
  const answer = page.locator("#request-answer");
  await answer.getByRole("button", { name: "Search the topics" }).press("Enter");
  await until("the verdict is shown", async () => /The topics say: granted once: coupon 123, 2 attempts\. 12,345 offsets read/.test(await answer.innerText()));
  assert.match(await answer.innerText(), /parked at .* as coupon-grant-retry\/0\/3, after 1 attempt, due/);
  assert.match(await answer.innerText(), /granted at .* as coupon-granted\/1\/9, coupon 123/);
  assert.equal(await answer.locator(".ending tbody tr").count(), 2);

  await page.getByLabel("Request id").fill("in-trouble");
  await page.getByLabel("Request id").press("Enter");
  await until("it is not known", async () => /has not seen in-trouble/.test(await answer.innerText()));
  await answer.getByRole("button", { name: "Search the topics" }).click();
  await until("a search that fails says why", async () => /ended early: no broker answers: check kafka\.brokers\./.test(await answer.innerText()));
  await close();
});

for (const [name, init] of [["with a clipboard", null], ["without a clipboard", () => Object.defineProperty(navigator, "clipboard", { value: undefined })], ["without the permission", () => { navigator.clipboard.writeText = () => Promise.reject(new DOMException("no", "NotAllowedError")); }]]) {
  test(`the command of a dead letter is copied, ${name}`, async () => {
    const { page, close } = await play(scene({ letters: [trail("x", { end: "dead-letter", reason: "grant-unknown", detail: "d", source: `${topics[0]}/3/42` })] }), { init });
    const button = page.locator("#dead-letters-table .copy");
    await button.press("Enter");
    await until("it says so", async () => (await button.innerText()) === "Copied");
    await page.getByLabel("Filter").focus();
    await page.keyboard.press("Control+V");
    assert.match(await page.getByLabel("Filter").inputValue(), /^coupongrant dead-letters replay --source coupon-grant-requested\.store\/3\/42/);
    await close();
  });
}

test("a server that is gone is said to be gone, and nothing looks as if it were of now", async () => {
  const { page, close, serverIsAway } = await play(busy());
  await tell("/count");
  await until("a rate is shown", async () => /[1-9]/.test(await text(page, "#chart-ends .legend tbody tr:first-child td:nth-child(2)")));
  assert.match(await text(page, "#chart-ends .legend tbody tr:first-child td:nth-child(3)"), /[1-9]/);
  serverIsAway(true);
  await tell("/gone");
  await until("it says that nobody answers", async () => /^No answer from this replica since \d\d:\d\d:\d\d GMT\+8$/.test(await headline(page)), 6000);
  assert.match(await text(page, "#link-text"), /^no answer for/);
  assert.match(await page.locator("#announce").textContent(), /^No answer from this replica/);
  assert.match(await page.title(), /^\? No answer/);
  for (const section of ["rates", "gateway", "partitions", "ends", "dead-letters"]) {
    assert.match(await text(page, `#${section} .as-of`), /as of \d\d:\d\d:\d\d GMT\+8, not of now/, section);
  }
  assert.deepEqual([...new Set(await page.locator(".legend tbody tr td:nth-child(2)").allInnerTexts())], ["–"], "no rate of before stands as one of now");
  await page.locator("#chart-ends .canvas").hover(); // rates are then those of that moment, totals have none
  await until("the pointer is on the chart", async () => /^\d\d:\d\d:\d\d/.test(await text(page, "#chart-ends .legend thead th:nth-child(2)")));
  assert.deepEqual([...new Set(await page.locator(".legend tbody tr td:nth-child(3)").allInnerTexts())], ["–"], "no total of before stands as one of now, nor as a zero");
  await page.mouse.move(0, 0);
  await tell("/back");
  await until("it is live again by itself", async () => (await page.locator('#link[data-link="live"]').count()) && /^Waits for the gateway|^Waits for the schema/.test(await headline(page)), 10_000);
  serverIsAway(false);
  await tell("/scene", busy()); // the session has gone on meanwhile
  await until("the marks are gone", async () => (await page.locator(".as-of").allInnerTexts()).every((t) => t === ""));
  await close();
});

test("facts that the session gave long ago are said to be old", async () => {
  const { page, close } = await play(scene({ status: { at: at(40) } }));
  assert.match(await text(page, "#partitions .as-of"), /as of .*, 4\d s ago/);
  await close();
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1366, 390]) {
    test(`${colorScheme}, ${width} wide: no fault that axe finds, and the page does not scroll sideways`, async () => {
      const { page, close } = await play(busy(), { colorScheme, viewport: { width, height: 844 } }, "#request=order-1");
      await until("the answer is shown", () => page.locator("#request-answer .scan, #request-answer .known").count());
      await page.evaluate(axe.source);
      const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
      assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120)).join(" | ")}`), []);
      assert.ok(found.passes.some((p) => p.id === "color-contrast"), "contrast was looked at");
      const sizes = await page.evaluate(() => ({ page: document.documentElement.scrollWidth, view: document.documentElement.clientWidth }));
      assert.ok(sizes.page <= sizes.view, `${sizes.page} in ${sizes.view}`);
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 3);
      assert.equal(ground < 60, colorScheme === "dark", `the ground is ${ground}`);
      await close();
    });
  }
}

test("the theme can be chosen, and is kept", async () => {
  const { page, close } = await play(scene(), { colorScheme: "light" });
  const button = page.locator("#theme");
  const dark = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await dark();
  await button.click();
  assert.equal(await button.innerText(), "Theme: light");
  await button.click();
  assert.equal(await button.innerText(), "Theme: dark");
  assert.notEqual(await dark(), before);
  await page.reload();
  await until("it is dark from the start", async () => (await button.innerText()) === "Theme: dark");
  await close();
});

test("everything is reached and worked by the keyboard, and one sees where one is", async () => {
  const { page, close } = await play(busy());
  const reached = [];
  for (let n = 0; n < 400; n++) {
    await page.keyboard.press("Tab");
    const here = await page.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body) return null;
      const style = getComputedStyle(e);
      const box = e.getBoundingClientRect();
      return { id: e.id, name: (e.getAttribute("aria-label") || e.textContent || e.placeholder || "").trim().slice(0, 40), seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2, inView: box.bottom > 0 && box.top < innerHeight && box.width > 0 };
    });
    if (here === null) break;
    assert.ok(here.seen, `focus is not seen on ${JSON.stringify(here)}`);
    assert.ok(here.inView, `focus is out of view on ${JSON.stringify(here)}`);
    reached.push(here.id || here.name);
  }
  for (const id of ["theme", "partitions-filter", "partitions-waiting", "ends-pause", "request-id"]) assert.ok(reached.includes(id), `${id} is reached`);
  assert.ok(reached.some((r) => r.startsWith("Copy: coupongrant dead-letters")), "the copy buttons are reached");
  assert.equal(reached[0], "Skip to the state of things");

  await page.locator("#theme").focus();
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "request-id");
  await page.keyboard.type("order-5");
  await page.keyboard.press("Enter");
  await until("the answer is there, and has the focus", async () => (await page.evaluate(() => document.activeElement.id)) === "request-answer" && /order-5/.test(await text(page, "#request-answer")));

  await page.locator("#ends-pause").focus();
  await page.keyboard.press("Space");
  assert.equal(await page.locator("#ends-pause").getAttribute("aria-pressed"), "true");
  await tell("/scene", scene({ recent: [trail("later")] }));
  await until("the rest goes on", async () => (await headline(page)) === "It works.");
  assert.equal(await page.locator("#ends-table tbody tr").count(), 50, "paused");
  await page.keyboard.press("Space");
  await until("it goes on", async () => (await page.locator("#ends-table tbody tr").count()) === 1);
  await close();
});

// Takes the pictures of the README from a run with troubles.
"use strict";

const { launch, open, until } = require("./browser.js");

const address = process.env.CONSOLE_DEV;
const folder = process.env.CONSOLE_PICTURES;
const filling = Number(process.env.CONSOLE_FILLING_MS);

const pictures = [
  { name: "console", colorScheme: "light", viewport: { width: 1440, height: 1500 } },
  { name: "console-dark", colorScheme: "dark", viewport: { width: 1440, height: 900 } },
  { name: "console-phone", colorScheme: "light", viewport: { width: 390, height: 1100 }, deviceScaleFactor: 1.5 },
];

async function main() {
  const browser = await launch();
  const opened = await Promise.all(pictures.map((p) => open(browser, address, { ...p, reducedMotion: "reduce" })));
  await new Promise((r) => setTimeout(r, filling)); // the charts fill as time goes by
  const pages = opened.map((o) => o.page);
  await until("an outage is going on", async () => (await Promise.all(pages.map((p) => p.locator('#now[data-state="waits"]').count()))).every(Boolean), 120_000);
  await until("partitions say why they wait", () => pages[0].locator("#partitions-table tr[data-waits]").count());
  for (const [i, { page }] of opened.entries()) await page.screenshot({ path: `${folder}/${pictures[i].name}.png` });
  for (const o of opened) await o.close();
  await browser.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

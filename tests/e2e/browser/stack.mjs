/** The map of the stack: found by a filter, understood on a system's page, mended by a button. */
import assert from "node:assert/strict";
import { LONG, given, picture, signIn, visit } from "./visit.mjs";

visit(async (page) => {
  await signIn(page);
  await page.getByRole("link", { name: "Stack" }).click();
  await page.getByRole("heading", { level: 1, name: "Stack" }).waitFor();
  await page.locator(".stack-tile").first().waitFor(LONG);
  const systems = await page.locator(".stack-tile").count();
  const legend = await page.locator(".proof-bar .legend li").allInnerTexts();
  const tagged = await page.locator(".stack-tile .tile-tag", { hasText: "not proven" }).count();
  const provable = await page.locator("[aria-labelledby=unproven]").getByRole("button", { name: /^Prove by use: / }).count();
  await picture(page, "stack");
  await page.getByLabel("Filter the systems").fill("event bus");
  await page.getByRole("status").filter({ hasText: ` of ${systems} systems` }).waitFor();
  const filtered = await page.locator(".stack-tile").count();
  await page.getByRole("link", { name: /^NATS with JetStream/ }).first().click();
  await page.getByRole("heading", { level: 1, name: "NATS with JetStream" }).waitFor(LONG);
  await page.getByRole("heading", { name: "Proof" }).waitFor(LONG);
  const text = await page.locator("main").innerText();
  await picture(page, "component");
  await page.getByRole("button", { name: "Log of NATS with JetStream" }).click();
  await page.getByRole("dialog").locator(".log").waitFor();
  await page.getByRole("button", { name: "Close" }).click();
  const before = await restarts(page);
  await page.getByRole("button", { name: "Restart: NATS with JetStream" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Keep as it is" }).click();
  assert.equal(await restarts(page), before, "nothing happens before it is confirmed");
  await page.getByRole("button", { name: "Restart: NATS with JetStream" }).click();
  await dialog.getByRole("button", { name: "Restart", exact: true }).click();
  await dialog.waitFor({ state: "detached" });
  await restarted(page).filter({ hasText: new RegExp(`^${before + 1}$`) }).waitFor(LONG);
  return { systems, filtered, legend, tagged, provable, text };
});

async function restarts(page) {
  return Number(await restarted(page).innerText());
}

function restarted(page) {
  return page.locator("#running ~ dl div", { hasText: "Restarts" }).locator("dd");
}

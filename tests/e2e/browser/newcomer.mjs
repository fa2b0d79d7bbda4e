/** The tutorial, as a newcomer walks it: sign in, add the example, add a provider, ask, watch, audit, take back. */
import assert from "node:assert/strict";
import { LONG, given, picture, signIn, visit } from "./visit.mjs";

const ENVIRONMENTS = ["dev", "qa", "staging", "prod"];

visit(async (page) => {
  await signIn(page);
  await seeWhatRuns(page);
  const prod = await addTheExample(page);
  const before = await shipping(prod);
  await addAProvider(page);
  const streams = eventStreams(page);
  const id = await ask(page);
  const seen = await watch(page);
  const after = await shipping(prod);
  const change = await lookAtTheChange(page);
  await verifyTheAudit(page);
  await takeItBack(page, id);
  return { id, before, after, restored: await shipping(prod), seen, change, streams };
});

async function seeWhatRuns(page) {
  for (const [id, name] of Object.entries(given.systems)) {
    const card = page.locator(".component", { has: page.locator(".component-id", { hasText: new RegExp(`^${id}$`) }) });
    await card.getByRole("heading", { name }).waitFor();
    await card.getByText("Healthy").waitFor();
  }
  await page.getByRole("definition").filter({ hasText: /^Ready$/ }).waitFor();
  await picture(page, "overview");
  await page.getByRole("button", { name: `Log of ${given.systems.caddy}` }).click();
  await page.getByRole("dialog").locator(".log").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

async function addTheExample(page) {
  await page.getByRole("link", { name: "Applications" }).click();
  await page.getByRole("button", { name: "Add a copy of the example" }).click();
  const dialog = page.getByRole("dialog");
  assert.equal(await dialog.getByLabel("Folder of its Git repository").inputValue(), "examples/checkout");
  assert.equal(await dialog.getByLabel("work on a copy of it").isChecked(), true);
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await dialog.waitFor({ state: "detached", ...LONG });
  for (const environment of ENVIRONMENTS) {
    const place = page.locator(".place", { has: page.getByRole("heading", { name: environment }) });
    await place.getByText("Healthy", { exact: true }).waitFor(LONG);
  }
  await picture(page, "applications");
  return page.getByRole("link", { name: "Open prod" }).getAttribute("href");
}

async function addAProvider(page) {
  const { name, base_url, weight, key } = given.provider;
  await page.getByRole("link", { name: "Models" }).click();
  await page.getByRole("button", { name: "Add a provider" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(/^Name/).fill(name);
  await dialog.getByLabel("Base URL").fill(base_url);
  await dialog.getByLabel(/^Model/).fill(name);
  await dialog.getByLabel("Weight of its vote").fill(String(weight));
  await dialog.getByLabel("API key").fill(key);
  await dialog.getByRole("button", { name: "Add the provider" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("button", { name: `Test ${name}` }).click();
  const answered = page.locator(".card", { has: page.getByRole("heading", { name }) }).getByText(/^Answered in/);
  await answered.waitFor();
  assert.equal((await page.content()).includes(key), false, "the key is never shown again");
  await picture(page, "models", answered);
}

async function ask(page) {
  await page.getByRole("link", { name: "Ask for a change" }).click();
  await page.getByLabel("Application").selectOption("checkout");
  await page.getByLabel("What should change?").fill(given.intent);
  assert.equal(await page.getByRole("radio", { name: /^ripple-moe default/ }).isChecked(), true);
  await picture(page, "ask");
  await page.getByRole("button", { name: "Ask for this change" }).click();
  await page.waitForURL(/#\/changes\/chg/);
  return page.url().split("/").at(-1);
}

/** Every state that a step, an environment or the chart went through on the page, without it being loaded again. */
async function watch(page) {
  await page.evaluate(() => {
    const seen = new Set();
    const look = () => {
      for (const one of document.querySelectorAll("[data-step]")) seen.add(`${one.dataset.step} ${one.dataset.state}`);
      for (const one of document.querySelectorAll("[data-environment]")) seen.add(`${one.dataset.environment} ${one.dataset.state}`);
      if (document.querySelector('[data-connection="live"]')) seen.add("live");
      const charts = document.querySelectorAll('[data-environment="prod"][data-state="canary"]').length;
      const line = document.querySelector('[data-canary="prod"] path.canary')?.getAttribute("d") ?? "";
      if (charts && line.split("L").length > 3) seen.add("a line of the canary in prod");
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
    look();
    window.seenHere = seen;
  });
  await page.getByText("This change runs in production").waitFor(LONG);
  return page.evaluate(() => [...window.seenHere]);
}

async function lookAtTheChange(page) {
  await page.locator(".gate", { hasText: "signature verified" }).nth(given.gates - 1).waitFor();
  await page.locator('[data-environment="prod"] .place-release').waitFor();
  await picture(page, "change");
  await page.locator(`[data-model="${given.other}"]`).getByRole("button", { name: "Show its diff" }).click();
  const diffs = await page.locator(".diff-view").allInnerTexts();
  const candidates = await page.locator(".candidate").evaluateAll((cards) =>
    Object.fromEntries(cards.map((card) => [card.dataset.model, card.innerText])));
  const canary = page.locator('[data-canary="prod"]');
  return {
    diffs,
    candidates,
    votes: await page.locator(".legend li").allInnerTexts(),
    disagreements: await page.locator(".disagreements").innerText(),
    gates: await page.locator(".gate").evaluateAll((rows) => rows.map((row) => `${row.dataset.gate} ${row.dataset.verdict}`)),
    sealed: await page.getByText("signature verified").count(),
    numbers: await canary.locator(".numbers").innerText(),
    charts: await canary.getByRole("img").evaluateAll((charts) => charts.map((chart) => chart.getAttribute("aria-label"))),
  };
}

async function verifyTheAudit(page) {
  await page.getByRole("link", { name: "Audit" }).click();
  await page.getByRole("button", { name: "Verify every entry" }).click();
  await page.getByText("The chain is whole").waitFor();
  await picture(page, "audit");
}

async function takeItBack(page, id) {
  await page.getByRole("link", { name: "Changes" }).click();
  await page.locator(`a[href$="${id}"]`).click();
  await page.getByRole("button", { name: "Roll back" }).click();
  await page.getByRole("button", { name: "Roll it back" }).click();
  await page.getByText("This change was taken back").waitFor(LONG);
  for (const environment of ENVIRONMENTS) {
    await page.locator(`[data-environment="${environment}"][data-state="rolled_back"]`).waitFor();
  }
}

async function shipping(prod) {
  const answer = await fetch(`${prod.replace(/\/$/, "")}/quote?items=mug:4`);
  return (await answer.json()).shipping_cents;
}

/** The answers that stay open; a page that asks again and again would have many or none. */
function eventStreams(page) {
  const found = [];
  page.on("response", (response) => {
    if (response.url().endsWith("/events")) found.push(response.headers()["content-type"]);
  });
  return found;
}

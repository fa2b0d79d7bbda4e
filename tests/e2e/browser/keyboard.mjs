/** Everything by keyboard: asking for a change, watching it, cancelling it; and what the Tab key never reaches. */
import assert from "node:assert/strict";
import { LONG, given, signIn, visit } from "./visit.mjs";

const MOST_STOPS = 400;
const PAGES = ["", "applications", "models", "stack/nats-server", "changes", "ask"];

visit(async (page, watch) => {
  await signIn(page);
  const unreachable = {};
  for (const name of PAGES) {
    await page.goto(`${given.link.split("#")[0]}#/${name}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.locator(".loading").first().waitFor({ state: "detached", ...LONG });
    const missed = await unreached(page);
    if (missed.length) unreachable[name || "overview"] = missed;
  }
  await ask(page);
  await restartTheServer(page, watch);
  const missed = await unreached(page);
  if (missed.length) unreachable.change = missed;
  await cancel(page);
  return { id: page.url().split("/").at(-1), unreachable };
});

async function ask(page) {
  await page.reload();
  await page.getByLabel("What should change?").waitFor();
  await skipToContent(page);
  await tabTo(page, page.getByLabel("What should change?"));
  await page.keyboard.type(given.intent);
  await tabTo(page, page.getByRole("radio", { name: "Code" }), "ArrowDown");
  await tabTo(page, page.getByRole("button", { name: "Ask for this change" }));
  await page.keyboard.press("Enter");
  await page.locator('[data-step="propose"][data-state="running"]').waitFor(LONG);
}

/** The first stop of every page leads past the navigation. */
async function skipToContent(page) {
  await page.evaluate(() => document.activeElement?.blur());
  await tabTo(page, page.getByRole("link", { name: "Skip to the content" }));
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
}

/** The API ends and comes back below the page, which goes on by itself. */
async function restartTheServer(page, watch) {
  await page.locator('[data-connection="live"]').waitFor();
  await watch.whileAway(async () => {
    await page.evaluate(() => {
      // It lasts for a moment only, so the page itself looks for it.
      const look = () => (window.wasAway ||= Boolean(document.querySelector('[data-connection="reconnecting"]')));
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
      fetch("/api/components/api/restart", { method: "POST" }).catch(() => null);
    });
    await page.waitForFunction(() => window.wasAway, null, LONG);
    await page.locator('[data-connection="live"]').waitFor(LONG);
    await page.getByRole("alert").waitFor({ state: "detached" });
  });
}

async function cancel(page) {
  await tabTo(page, page.getByRole("button", { name: "Cancel", exact: true }));
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await page.keyboard.press("Enter");
  await tabTo(page, dialog.getByRole("button", { name: "Cancel the change" }));
  await page.keyboard.press("Enter");
  await page.getByText("This change was cancelled").waitFor(LONG);
}

/** Presses Tab until the control has the focus, within a group the arrow keys, and sees that the focus shows. */
async function tabTo(page, control, also) {
  await control.waitFor();
  for (let stop = 0; stop < MOST_STOPS; stop += 1) {
    if (await control.evaluate((element) => element === document.activeElement)) break;
    await page.keyboard.press("Tab");
    if (also) await page.keyboard.press(also);
  }
  assert.equal(await control.evaluate((element) => element === document.activeElement), true, `Tab never reaches ${control}`);
}

/** The visible controls of the page that pressing Tab again and again does not come to. Radios are one stop a group. */
async function unreached(page) {
  const count = await page.evaluate(() => {
    window.scrollTo(0, 0);
    const all = document.querySelectorAll("a[href], button, input, select, textarea, summary");
    const open = (one) => one.checkVisibility() && !one.disabled && (one.type !== "radio" || one.checked);
    window.left = new Set([...all].filter(open));
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute("tabindex");
    addEventListener("focusin", (event) => window.left.delete(event.target));
    return window.left.size;
  });
  assert.ok(count > 5, "a page has controls");
  for (let stop = 0; stop < count + 20 && (await page.evaluate(() => window.left.size)); stop += 1) {
    await page.keyboard.press("Tab");
  }
  return page.evaluate(() => [...window.left].map((one) => one.ariaLabel || one.innerText || one.outerHTML.slice(0, 80)));
}

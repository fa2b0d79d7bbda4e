/** What a person reads when something is refused, is not there, or does not answer. */
import assert from "node:assert/strict";
import { given, signIn, visit } from "./visit.mjs";

const start = given.link.split("#")[0];

visit(async (page, watch) => {
  await openUsedLink(page, watch);
  given.link = given.fresh;
  await signIn(page);
  assert.equal(await page.evaluate(() => location.hash), "#/", "the token stays neither in the address nor in the history");
  const application = await addWhatIsNotThere(page, watch);
  const provider = await testADeadProvider(page);
  await openUnknownPages(page, watch);
  await goWithoutAnswers(page, watch);
  await leave(page, watch);
  return { application, provider };
});

async function openUsedLink(page, watch) {
  watch.expect("403 POST /api/sign-in", "401 GET /api/me");
  await page.goto(given.link);
  await page.getByRole("heading", { name: "This link did not sign you in" }).waitFor();
  await page.getByText("A link works once").waitFor();
  await page.getByText("./ripple up", { exact: true }).waitFor();
  watch.expect("401 GET /api/me");
  await page.goto(`${start}?again#/audit`);
  await page.getByRole("heading", { name: "You are signed out" }).waitFor();
}

async function addWhatIsNotThere(page, watch) {
  watch.expect("404 POST /api/applications");
  await page.getByRole("link", { name: "Applications" }).click();
  await page.getByRole("button", { name: "Add an application" }).click();
  await page.getByRole("dialog").getByRole("textbox").fill(given.nowhere);
  await page.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();
  const said = await page.getByRole("dialog").getByRole("alert").innerText();
  await page.getByRole("button", { name: "Do not add" }).click();
  return said;
}

async function testADeadProvider(page) {
  await page.getByRole("link", { name: "Models" }).click();
  await page.getByRole("button", { name: "Add a provider" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(/^Name/).fill("nobody");
  await dialog.getByLabel("Base URL").fill("http://127.0.0.1:9/v1");
  await dialog.getByLabel(/^Model/).fill("nobody");
  await dialog.getByRole("button", { name: "Add the provider" }).click();
  await page.getByRole("button", { name: "Test nobody" }).click();
  const notice = page.locator(".card .notice", { hasText: "It did not answer well" });
  const said = await notice.locator("p").innerText({ timeout: 60_000 });
  await page.getByRole("button", { name: "Remove nobody" }).click();
  await page.getByRole("button", { name: "Remove it" }).click();
  await page.getByRole("button", { name: "Test nobody" }).waitFor({ state: "detached" });
  return said;
}

async function openUnknownPages(page, watch) {
  await page.goto(`${start}#/nowhere`);
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  watch.expect("404 GET /api/changes/chg-none");
  await page.goto(`${start}#/changes/chg-none`);
  await page.getByRole("alert").filter({ hasText: "chg-none" }).waitFor();
}

async function goWithoutAnswers(page, watch) {
  await page.goto(`${start}#/`);
  await page.locator(".component").first().waitFor();
  await page.locator("main .loading").first().waitFor({ state: "detached" });
  await watch.whileAway(async () => {
    await page.context().setOffline(true);
    await page.getByText("Ripple does not answer").waitFor();
    assert.ok((await page.locator(".component").count()) > 4, "what was last known stays on the page");
    await page.context().setOffline(false);
    await page.getByText("Ripple does not answer").waitFor({ state: "detached" });
  });
}

async function leave(page, watch) {
  // A page that asks for nothing by itself: what it asked while the session ends would be refused.
  await page.goto(`${start}#/audit`);
  await page.getByRole("button", { name: "Verify every entry" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "You are signed out" }).waitFor();
  watch.expect("401 GET /api/me");
  await page.reload();
  await page.getByRole("heading", { name: "You are signed out" }).waitFor();
}

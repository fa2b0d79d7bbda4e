/**
 * One person's visit to the console: a fresh Chromium, everything that went wrong in it, and its pictures.
 *
 * A story is a function of the page and of the watch over it. It is given its facts on standard input, because a
 * sign-in link is a secret, and what it returns goes to standard output as JSON. The visit fails when the story
 * throws, and also when the page logged an error or warning, left a rejection unhandled, broke its content security
 * policy, or got an answer of 400 or more that the story did not expect. While the server is away, answers that
 * never came and those of 500 or more are forgiven.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "../../../console/node_modules/playwright-core/index.mjs";

export const LONG = { timeout: 150_000 };
const SHORT_MS = 20_000;
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--font-render-hinting=none",
];

export const given = JSON.parse(readFileSync(0, "utf8"));

/** Runs one story and ends the process: 0 when it held and nothing went wrong beside it. */
export async function visit(story) {
  const browser = await chromium.launch({ executablePath: given.chromium, headless: true, args: FLAGS });
  let page;
  try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", colorScheme: "light" });
    page = await context.newPage();
    page.setDefaultTimeout(SHORT_MS);
    const watch = await watchOver(page);
    const told = await story(page, watch);
    watch.close();
    process.stdout.write(JSON.stringify(told ?? {}));
  } catch (error) {
    process.exitCode = 1;
    const found = await page?.locator("body").innerText({ timeout: 2000 }).catch(() => "");
    process.stderr.write(`${error.stack}\n\nat ${page?.url().replace(/sign-in\/.*/, "sign-in/…")} the page said:\n${found}\n`);
  } finally {
    await browser.close();
  }
}

/** Opens the one-time link and waits until the console knows who is there. */
export async function signIn(page) {
  await page.goto(given.link);
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
}

/** The page as its reader sees it, 1280 by 800 from its top or around `middle`, in the folder of pictures. */
export async function picture(page, name, middle) {
  await page.mouse.move(0, 0);
  await page.evaluate(async () => {
    for (const button of document.querySelectorAll(".toast button")) button.click();
    document.activeElement?.blur();
    scrollTo(0, 0);
    await document.fonts.ready;
  });
  await middle?.evaluate((element) => element.scrollIntoView({ block: "center" }));
  await page.screenshot({ path: join(given.pictures, `${name}.png`), animations: "disabled", caret: "hide" });
}

async function watchOver(page) {
  const problems = [];
  const refused = [];
  const expected = [];
  let away = false;
  await page.exposeFunction("reportProblem", (text) => problems.push(text));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) =>
      window.reportProblem(`policy ${event.violatedDirective} broken by ${event.blockedURI || event.sourceFile}`));
  });
  page.on("console", (message) => {
    const answer = message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !answer) problems.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`not caught: ${error.stack ?? error}`));
  page.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED" && !away) problems.push(`${request.method()} ${request.url()}: ${why}`);
  });
  page.on("response", (response) => {
    const { pathname } = new URL(response.url());
    const expectable = away && response.status() >= 500;
    if (response.status() >= 400 && !expectable) refused.push(`${response.status()} ${response.request().method()} ${pathname}`);
  });
  return {
    expect: (...answers) => expected.push(...answers),
    whileAway: async (happens) => {
      away = true;
      await happens();
      away = false;
    },
    close: () => {
      if (problems.length) throw new Error(`the page had problems:\n${problems.join("\n")}`);
      if (String(refused.sort()) !== String(expected.sort())) {
        throw new Error(`refused were [${refused.join(", ")}], expected [${expected.join(", ")}]`);
      }
    },
  };
}

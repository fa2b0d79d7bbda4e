/** How every page looks: at phone width, in light and in dark. */
import { LONG, given, signIn, visit } from "./visit.mjs";

const PAGES = ["", "applications", "ask", "changes", `changes/${given.change}`, "models", "stack", "stack/nats-server", "audit", "no-such-page"];
const PHONE = { width: 390, height: 844 };

visit(async (page) => {
  await signIn(page);
  const found = { wide: [], faint: [], grounds: {} };
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const name of PAGES) {
      await page.setViewportSize({ width: 1280, height: 800 });
      await page.goto(`${given.link.split("#")[0]}#/${name}`);
      await settle(page);
      found.grounds[colorScheme] = await page.evaluate(groundOfPage);
      found.faint.push(...(await page.evaluate(faintTexts)).map((text) => `${colorScheme} ${name || "overview"}: ${text}`));
      await page.setViewportSize(PHONE);
      const wide = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
      if (wide > 0) found.wide.push(`${name || "overview"} by ${wide}: ${await page.evaluate(widest)}`);
    }
  }
  return found;
});

async function settle(page) {
  await page.getByRole("heading", { level: 1 }).waitFor();
  await page.locator("main .loading").first().waitFor({ state: "detached", ...LONG });
  await page.evaluate(() => document.querySelectorAll("main details").forEach((one, index) => (one.open = index < 12)));
}

function widest() {
  const all = [...document.querySelectorAll("main *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1);
  return all.slice(0, 3).map((one) => `${one.localName}.${one.className}`).join(", ");
}

function groundOfPage() {
  const [red, green, blue] = getComputedStyle(document.documentElement).backgroundColor.match(/[\d.]+/g).map((part) => part / 255);
  return 0.2126 * red ** 2.2 + 0.7152 * green ** 2.2 + 0.0722 * blue ** 2.2;
}

/** Texts whose contrast is below WCAG 2.2 §1.4.3. Runs in the page. */
function faintTexts() {
  const brush = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const painted = (colors) => {
    brush.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      brush.fillStyle = color;
      brush.fillRect(0, 0, 1, 1);
    }
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [red, green, blue] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => (element ? [...behind(element.parentElement), getComputedStyle(element).backgroundColor] : ["Canvas"]);
  const faded = (element) => (element ? getComputedStyle(element).opacity * faded(element.parentElement) : 1);
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !element.checkVisibility({ visibilityProperty: true }) || element.closest(".unseen, :disabled, svg, title")) continue;
    const style = getComputedStyle(element);
    const size = Number.parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ground = behind(element);
    const [one, other] = [light(painted([...ground, style.color])), light(painted(ground))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < (large ? 3 : 4.5) || faded(element) < 1) faint.push(`${ratio.toFixed(2)} ${text.slice(0, 40)}`);
  }
  return [...new Set(faint)];
}

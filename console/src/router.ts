/** Hash routes: `#/changes/chg-1?x=y` ↔ a page, its argument and its query. */
import { signal } from "@preact/signals";

export type PageName =
  | "overview" | "applications" | "ask" | "changes" | "change" | "models" | "stack" | "system" | "audit" | "sign-in" | "not-found";

export interface Route {
  page: PageName;
  argument: string;
  query: Record<string, string>;
}

const PAGES = new Set(["overview", "applications", "ask", "changes", "models", "stack", "audit"]);

export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [first = "", ...rest] = path.split("/").map(decoded);
  const query = Object.fromEntries(new URLSearchParams(search));
  const argument = rest.join("/");
  if (first === "") return { page: "overview", argument: "", query };
  if (first === "sign-in") return { page: "sign-in", argument, query };
  if (first === "changes" && argument) return { page: "change", argument, query };
  if (first === "stack" && argument) return { page: "system", argument, query };
  if (PAGES.has(first) && !argument) return { page: first as PageName, argument, query };
  return { page: "not-found", argument: path, query };
}

/** The link to a page; query values that are empty are left out. */
export function href(page: string, query: Record<string, string> = {}): string {
  const kept = Object.entries(query).filter(([, value]) => value !== "");
  const search = new URLSearchParams(kept).toString();
  return `#/${page}${search ? `?${search}` : ""}`;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const route = signal<Route>(parseRoute(globalThis.location?.hash ?? ""));

export function followHash(): void {
  addEventListener("hashchange", () => {
    route.value = parseRoute(location.hash);
  });
}

export function go(link: string): void {
  location.hash = link;
}

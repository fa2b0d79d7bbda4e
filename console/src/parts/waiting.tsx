/** What a page shows while an answer is on its way. */
import { useNow } from "../clock.ts";

const QUICK_MS = 2000;

/** Seconds since `since`, from two seconds on: before that a number would only flicker. */
export function Elapsed({ since }: { since: number }) {
  const now = useNow(1000);
  const passed = now - since;
  return passed < QUICK_MS ? null : <span class="elapsed"> {Math.floor(passed / 1000)} s</span>;
}

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      <span class="spinner" aria-hidden="true" /> Loading {what}…
    </p>
  );
}

/** Errors, warnings and empty pages: what is the matter, and what to do. */
import type { ComponentChildren } from "preact";
import { ApiError } from "../client.ts";

export function ErrorNotice({ error, retry, title }: { error: Error; retry?: (() => void) | undefined; title?: string }) {
  const retryable = retry && (!(error instanceof ApiError) || error.retryable || error.status >= 500);
  return (
    <div class="notice tone-bad" role="alert">
      {title && <strong>{title}</strong>}
      <p>{error.message}</p>
      {retryable && <button type="button" class="button plain" onClick={retry}>Try again</button>}
    </div>
  );
}

export function Notice({ tone, title, children }: { tone: "good" | "bad" | "warn" | "quiet"; title?: string; children?: ComponentChildren }) {
  return (
    <div class={`notice tone-${tone}`}>
      {title && <strong>{title}</strong>}
      {children}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <span class="empty-mark" aria-hidden="true" />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Reasons({ reasons }: { reasons: string[] }) {
  if (reasons.length === 0) return null;
  return (
    <ul class="reasons">
      {reasons.map((reason, index) => <li key={index}>{reason}</li>)}
    </ul>
  );
}

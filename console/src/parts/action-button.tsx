/** A button that does something on the API: busy while it runs, and it says so when that takes long. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { noticeSignedOut } from "../session.ts";
import { sayError } from "../toast.ts";
import { Elapsed } from "./waiting.tsx";

export interface ActionProps {
  action: () => Promise<void>;
  children: ComponentChildren;
  kind?: "primary" | "danger" | "plain" | "quiet";
  disabled?: boolean;
  label?: string;
  /** Where a failure goes; without it, to a message at the edge of the page. */
  onError?: (error: Error) => void;
}

export function ActionButton({ action, children, kind = "plain", disabled = false, label, onError }: ActionProps) {
  const [since, setSince] = useState<number | null>(null);
  const run = async () => {
    if (since !== null) return;
    setSince(Date.now());
    try {
      await action();
    } catch (error) {
      noticeSignedOut(error);
      (onError ?? sayError)(error as Error);
    } finally {
      setSince(null);
    }
  };
  return (
    <button
      type="button"
      class={`button ${kind}`}
      disabled={disabled}
      aria-busy={since !== null}
      aria-label={label}
      onClick={() => void run()}
    >
      {since !== null && <span class="spinner" aria-hidden="true" />}
      <span>{children}</span>
      {since !== null && <Elapsed since={since} />}
    </button>
  );
}

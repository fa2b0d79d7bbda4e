/** A long identifier: short on the page, whole in the clipboard. */
import { useState } from "preact/hooks";
import { short } from "../format.ts";
import { sayError } from "../toast.ts";

export function CopyText({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <button type="button" class="copy" title={text} aria-label={`Copy ${label} ${text}`} onClick={() => void copy().catch(sayError)}>
      <code>{copied ? "copied" : short(text)}</code>
    </button>
  );
}

/** A state in one word, with a tone that is never the only sign of it. */
import type { Tone, Word } from "../words.ts";
import { Icon, type IconName } from "./icon.tsx";

const ICONS: Record<Tone, IconName | null> = { good: "check", bad: "cross", warn: "bang", busy: null, quiet: null };

export function Chip({ word }: { word: Word }) {
  const icon = ICONS[word.tone];
  return (
    <span class={`chip tone-${word.tone}`}>
      {icon ? <Icon name={icon} /> : <span class={word.tone === "busy" ? "spinner" : "dot"} aria-hidden="true" />}
      {word.text}
    </span>
  );
}

/** The whole stack at a glance: a line a layer, a tile a system, a bar of what is proven. */
import { percent, plural } from "../format.ts";
import { href } from "../router.ts";
import { OUTCOMES, said, shares, tags, told } from "./filter.ts";
import type { Stack, StackLayer, SystemCard } from "./types.ts";

export function Bar({ counts }: { counts: Stack["counts"] }) {
  const parts = shares(counts);
  return (
    <div class="proof-bar">
      <div class="proof-bar-line" aria-hidden="true">
        {parts.map(({ outcome, share }) => (
          <span key={outcome} class={`tone-${OUTCOMES[outcome].tone}`} style={{ flexGrow: share }} />
        ))}
      </div>
      <ul class="legend">
        {parts.map(({ outcome, count, share }) => (
          <li key={outcome} class={`tone-${OUTCOMES[outcome].tone}`}>
            <span class="tile-mark" aria-hidden="true">{OUTCOMES[outcome].mark}</span>
            {OUTCOMES[outcome].text}: {plural(count, "system")} ({percent(share)})
          </li>
        ))}
      </ul>
    </div>
  );
}

export function Picture({ layers }: { layers: StackLayer[] }) {
  return (
    <ol class="layers">
      {layers.map((layer) => (
        <li key={layer.id} class="layer">
          <h3 title={layer.purpose}><span class="muted">{layer.id === "0" ? "" : layer.id}</span> {layer.name}</h3>
          <ul class="layer-tiles">
            {layer.systems.map((card) => <Tile key={card.id} card={card} />)}
          </ul>
        </li>
      ))}
    </ol>
  );
}

function Tile({ card }: { card: SystemCard }) {
  const word = OUTCOMES[card.outcome] ?? OUTCOMES.unproven;
  const open = tags(card);
  const marks = `tone-${word.tone} status-${card.status}${open.length > 0 ? " open" : ""}${card.drift.length > 0 ? " drifted" : ""}`;
  return (
    <li>
      <a class={`stack-tile ${marks}`} href={href(`stack/${encodeURIComponent(card.id)}`)} title={told(card)} aria-label={said(card)}>
        <span class="tile-mark" aria-hidden="true">{word.mark}</span>
        <span>{card.name}</span>
        {open.map((text) => <span key={text} class="tile-tag" aria-hidden="true">{text}</span>)}
        {card.state && <span class={`tile-state state-${card.state}`} aria-hidden="true" />}
      </a>
    </li>
  );
}

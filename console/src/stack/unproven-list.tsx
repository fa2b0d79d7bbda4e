/** What nobody has proven yet or any more, with the way to a proof. */
import { plural } from "../format.ts";
import { Chip } from "../parts/chip.tsx";
import { OUTCOMES } from "./filter.ts";
import { RepairButton } from "./repair-button.tsx";
import type { SystemCard } from "./types.ts";

export function UnprovenList({ cards, reload }: { cards: SystemCard[]; reload: () => Promise<void> }) {
  const open = cards.filter((card) => card.unproven);
  if (open.length === 0) return null;
  return (
    <section aria-labelledby="unproven">
      <h2 id="unproven">Not proven</h2>
      <p class="lead">{plural(open.length, "system")} without a proof that holds.</p>
      <ul class="rows">
        {open.map((card) => <Row key={card.id} card={card} reload={reload} />)}
      </ul>
    </section>
  );
}

function Row({ card, reload }: { card: SystemCard; reload: () => Promise<void> }) {
  return (
    <li class="row">
      <div class="row-main">
        <strong>{card.name}</strong>
        <span class="muted">{card.unproven?.reason}</span>
      </div>
      <Chip word={OUTCOMES.unproven} />
      {card.unproven?.verb && <RepairButton system={card.id} name={card.name} verb={card.unproven.verb} done={reload} />}
    </li>
  );
}

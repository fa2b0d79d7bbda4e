/** What no longer agrees, with the way back. */
import { plural } from "../format.ts";
import { Chip } from "../parts/chip.tsx";
import { Notice } from "../parts/notice.tsx";
import { buttonFor } from "./filter.ts";
import { RepairButton } from "./repair-button.tsx";
import type { Drift, SystemCard } from "./types.ts";

export interface DriftListProps {
  drift: Drift[];
  notCompared: string[];
  cards: SystemCard[];
  reload: () => Promise<void>;
}

export function DriftList({ drift, notCompared, cards, reload }: DriftListProps) {
  return (
    <section aria-labelledby="drift">
      <h2 id="drift">Drift</h2>
      {drift.length === 0
        ? <Notice tone="good" title="Everything that could be compared agrees" />
        : <p class="lead">{plural(drift.length, "difference")} between what is stated and what is.</p>}
      <ul class="rows">
        {drift.map((one, index) => <Row key={index} drift={one} cards={cards} reload={reload} />)}
      </ul>
      {notCompared.length > 0 && (
        <Notice tone="quiet" title="Not compared">
          <ul class="reasons">{notCompared.map((text) => <li key={text}>{text}</li>)}</ul>
        </Notice>
      )}
    </section>
  );
}

export function DriftRow({ drift }: { drift: Drift }) {
  return (
    <div class="row-main">
      <strong>{drift.subject}</strong>
      <span class="muted">{drift.level} · {drift.message}</span>
      <code class="wrap">{drift.repair}</code>
    </div>
  );
}

function Row({ drift, cards, reload }: { drift: Drift; cards: SystemCard[]; reload: () => Promise<void> }) {
  const button = buttonFor(drift, cards);
  return (
    <li class="row">
      <DriftRow drift={drift} />
      <Chip word={drift.severity === "error" ? { text: "Differs", tone: "bad" } : { text: "Will differ", tone: "warn" }} />
      {button && <RepairButton system={button.system} name={drift.subject} verb={button.verb} done={reload} />}
    </li>
  );
}

/** What each model proposed: its standing, why it lost or won, and its diff beside another's. */
import { useState } from "preact/hooks";
import type { Candidate, Change, Consensus } from "../api.ts";
import { outcomeOf, segmentOf } from "../ballot.ts";
import { plural, seconds } from "../format.ts";
import { Chip } from "../parts/chip.tsx";
import { Reasons } from "../parts/notice.tsx";
import { STANDINGS, wordFor } from "../words.ts";
import { DiffView } from "./diff-view.tsx";

const BESIDE = 2;
const ORDER = ["counted", "refuted", "spoiled", "absent"];

export function Candidates({ change }: { change: Change }) {
  const [picked, setPicked] = useState<string[] | null>(null);
  const { candidates, consensus } = change;
  const sorted = [...candidates].sort((a, b) => rank(a, consensus) - rank(b, consensus) || (a.model < b.model ? -1 : 1));
  const shown = (picked ?? firstShown(sorted)).filter((model) => candidates.some((one) => one.model === model));
  const toggle = (model: string) =>
    setPicked(shown.includes(model) ? shown.filter((one) => one !== model) : [...shown.slice(1 - BESIDE), model]);
  return (
    <section aria-labelledby="candidates-title">
      <div class="section-head">
        <h2 id="candidates-title">Candidates</h2>
        <span class="muted">{candidates.length ? plural(candidates.length, "model") + " asked" : ""}</span>
      </div>
      {candidates.length === 0 && <p class="muted placeholder">{waitingText(change)}</p>}
      <ul class="candidates">
        {sorted.map((one) => (
          <CandidateCard key={one.model} candidate={one} consensus={consensus} shown={shown.includes(one.model)} toggle={() => toggle(one.model)} />
        ))}
      </ul>
      {shown.length > 0 && (
        <div class="diffs" data-count={shown.length}>
          {shown.map((model) => {
            const found = candidates.find((one) => one.model === model);
            return found?.diff ? <DiffView key={model} title={`What ${model} would change`} diff={found.diff} /> : null;
          })}
        </div>
      )}
    </section>
  );
}

interface CardProps {
  candidate: Candidate;
  consensus: Consensus | null;
  shown: boolean;
  toggle: () => void;
}

function CandidateCard({ candidate, consensus, shown, toggle }: CardProps) {
  const { model, tier, weight, lineage, standing } = candidate;
  const segment = segmentOf(consensus, model);
  const chosen = Boolean(consensus?.reached) && consensus?.representative === model;
  return (
    <li class={`card candidate ${chosen ? "chosen" : ""}`} data-model={model}>
      <div class="candidate-head">
        <h3>{segment && <span class={`letter segment-${segment.letter}`}>{segment.letter}</span>}{model}</h3>
        <Chip word={wordFor(STANDINGS, standing)} />
      </div>
      <p class="muted">{tier} · weight {weight}{lineage !== model && <> · lineage {lineage}</>} · {seconds(candidate.latency_seconds)}{tokens(candidate)}</p>
      {candidate.answer?.summary && <p class="quote">{candidate.answer.summary}</p>}
      <p>{STANDINGS[standing]?.means}</p>
      <Reasons reasons={outcomeOf(candidate, consensus)} />
      {candidate.diff && (
        <button type="button" class="button plain" aria-pressed={shown} onClick={toggle}>{shown ? "Hide its diff" : "Show its diff"}</button>
      )}
    </li>
  );
}

function tokens({ tokens_in, tokens_out }: Candidate): string {
  return tokens_out === null || tokens_out === undefined ? "" : ` · ${tokens_in ?? "?"} tokens in, ${tokens_out} out`;
}

function rank(candidate: Candidate, consensus: Consensus | null): number {
  if (consensus?.reached && consensus.representative === candidate.model) return -1;
  return ORDER.indexOf(candidate.standing);
}

function firstShown(sorted: Candidate[]): string[] {
  const first = sorted.find((one) => one.diff);
  return first ? [first.model] : [];
}

function waitingText(change: Change): string {
  return change.state === "running" ? "The models have not answered yet." : "No model was asked before this change ended.";
}

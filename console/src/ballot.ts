/** The vote as the page shows it: clusters by weight with a letter each, and why a candidate lost. */
import type { Candidate, Cluster, Consensus, Distinguishing } from "./api.ts";
import { percent } from "./format.ts";

/** Spec §10.4: the agreement a winner needs when the result does not name another. */
const DEFAULT_AGREEMENT = 0.6;
const AGREEMENT_KEYS = ["min_agreement", "minimum_agreement", "threshold", "min_score"];

export interface Segment {
  cluster: Cluster;
  letter: string;
  share: number;
  winner: boolean;
}

export function segments(consensus: Consensus): Segment[] {
  const total = consensus.clusters.reduce((sum, one) => sum + one.weight, 0);
  return [...consensus.clusters]
    .sort((a, b) => b.weight - a.weight || (a.key < b.key ? -1 : 1))
    .map((cluster, index) => ({
      cluster,
      letter: letter(index),
      share: total > 0 ? cluster.weight / total : 0,
      winner: cluster.key === consensus.winner,
    }));
}

export function agreementNeeded(consensus: Consensus): number {
  for (const key of AGREEMENT_KEYS) {
    const value = consensus.details[key];
    if (typeof value === "number" && value > 0 && value <= 1) return value;
  }
  return DEFAULT_AGREEMENT;
}

export function distinguishing(consensus: Consensus): Distinguishing[] {
  const found = consensus.details["distinguishing"];
  return Array.isArray(found) ? (found.filter((one) => one && typeof one === "object") as Distinguishing[]) : [];
}

export function segmentOf(consensus: Consensus | null, model: string): Segment | undefined {
  return consensus ? segments(consensus).find((one) => one.cluster.models.includes(model)) : undefined;
}

/** Why this candidate is not what goes to production, or that it is; always at least one sentence. */
export function outcomeOf(candidate: Candidate, consensus: Consensus | null): string[] {
  if (candidate.standing !== "counted") return candidate.reasons;
  if (!consensus) return [...candidate.reasons, "The vote has not been counted yet."];
  const own = segmentOf(consensus, candidate.model);
  const first = segments(consensus)[0];
  if (!own || !first) return [...candidate.reasons, "It took no part in the vote."];
  if (!consensus.reached) return [`Answer ${own.letter} had ${percent(own.share)} of the weight; no answer won.`];
  if (consensus.representative === candidate.model) return [`Chosen: answer ${own.letter} won and this is its edit.`];
  if (own.winner) return [`Agrees with the winner; the edit of ${consensus.representative ?? "another"} was taken.`];
  return [`Answer ${own.letter} had ${percent(own.share)} of the weight; answer ${first.letter} had ${percent(first.share)}.`];
}

function letter(index: number): string {
  return index < 26 ? String.fromCharCode(65 + index) : String(index + 1);
}

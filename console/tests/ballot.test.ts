/** The vote as the page shows it: shares, letters, and why each candidate is or is not what goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Candidate, Consensus } from "../src/api.ts";
import { agreementNeeded, distinguishing, outcomeOf, segmentOf, segments } from "../src/ballot.ts";

function candidate(model: string, more: Partial<Candidate> = {}): Candidate {
  return {
    model, tier: "local", lineage: model, weight: 1, latency_seconds: 1, standing: "counted", reasons: [], answer: null,
    response_digest: null, tree: null, canonical: null, behaviour: null, diff: null, tokens_in: null, tokens_out: null,
    ...more,
  };
}

function consensus(more: Partial<Consensus> = {}): Consensus {
  return {
    reached: true, score: 0.75, winner: "k2", representative: "big", method: "weighted_consensus/tree",
    clusters: [
      { key: "k1", weight: 1, models: ["small"], representative: "small" },
      { key: "k2", weight: 3, models: ["big", "other"], representative: "big" },
    ],
    reasons: [], contested: true, details: { min_agreement: 0.6 }, ...more,
  };
}

test("the heaviest answer comes first, gets the letter A, and the shares add up to one", () => {
  const parts = segments(consensus());
  assert.deepEqual(parts.map((one) => [one.letter, one.cluster.key, one.share, one.winner]), [
    ["A", "k2", 0.75, true],
    ["B", "k1", 0.25, false],
  ]);
  assert.equal(parts.reduce((sum, one) => sum + one.share, 0), 1);
});

test("answers of one weight stand in the order of their keys, whatever order they came in", () => {
  const clusters = ["c", "a", "b"].map((key) => ({ key, weight: 1, models: [key], representative: key }));
  for (const order of [clusters, [...clusters].reverse()]) {
    assert.deepEqual(segments(consensus({ clusters: order })).map((one) => one.cluster.key), ["a", "b", "c"]);
  }
});

test("a vote without any weight shows no share that is not a number", () => {
  const clusters = [{ key: "k", weight: 0, models: ["m"], representative: "m" }];
  assert.equal(segments(consensus({ clusters }))[0]?.share, 0);
});

test("the agreement that was needed is the policy's, and the specification's where none is named", () => {
  assert.equal(agreementNeeded(consensus({ details: { min_agreement: 0.9 } })), 0.9);
  assert.equal(agreementNeeded(consensus({ details: {} })), 0.6);
  assert.equal(agreementNeeded(consensus({ details: { min_agreement: "high" } })), 0.6);
});

test("every candidate gets a reason for what became of it", () => {
  const found = consensus();
  assert.match(outcomeOf(candidate("big"), found)[0] ?? "", /^Chosen: answer A/);
  assert.match(outcomeOf(candidate("other"), found)[0] ?? "", /Agrees with the winner; the edit of big/);
  assert.match(outcomeOf(candidate("small"), found)[0] ?? "", /Answer B had 25 %.*answer A had 75 %/);
  assert.deepEqual(outcomeOf(candidate("lost", { standing: "refuted", reasons: ["2 tests fail"] }), found), ["2 tests fail"]);
  assert.match(outcomeOf(candidate("big"), null)[0] ?? "", /not been counted yet/);
  assert.match(outcomeOf(candidate("stranger"), found)[0] ?? "", /took no part/);
});

test("without a consensus nothing is called the winner", () => {
  const found = consensus({ reached: false, winner: null, representative: null });
  assert.match(outcomeOf(candidate("big"), found)[0] ?? "", /no answer won/);
  assert.ok(segments(found).every((one) => !one.winner));
  assert.equal(segmentOf(null, "big"), undefined);
});

test("what tells answers apart is taken as it comes, and left out where it is not a list of objects", () => {
  const one = { function: "total", input: [1], outcomes: { k1: "1", k2: "2" } };
  assert.deepEqual(distinguishing(consensus({ details: { distinguishing: [one, null, "x"] } })), [one]);
  assert.deepEqual(distinguishing(consensus({ details: { distinguishing: "no" } })), []);
});

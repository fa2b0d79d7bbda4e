/** A snapshot and the events around it: nothing is listed twice, and what has ended stays ended. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Change, Gate, Sample, StepRecord } from "../src/api.ts";
import { type LiveChange, applyEvents, currentStep, isTakenBack, withSnapshot } from "../src/live-change.ts";
import { ENVIRONMENTS } from "../src/words.ts";

function step(name: string, state: StepRecord["state"], started_at: string, ended_at: string | null = null): StepRecord {
  const base = { change_id: "chg-1", inputs: {}, outputs: {}, reasons: [], duration_seconds: null, outside_seconds: 0 };
  return { ...base, step: name, state, started_at, ended_at };
}

function change(more: Partial<Change> = {}): Change {
  return {
    id: "chg-1", application: "checkout", kind: "code", intent: "x", policy: "p", principal: "operator:local",
    state: "running", trace_id: "t", created_at: "1", ended_at: null, reasons: [], step: null, base_commit: null,
    commit: null, release: null, consensus: null, steps: [], candidates: [], gates: [], ours_seconds: null,
    environments: ENVIRONMENTS.map((environment) => ({
      environment, state: "waiting", release: null, url: "", reasons: [], analysis: null,
    })),
    ...more,
  };
}

const live = (more: Partial<Change> = {}): LiveChange => ({ change: change(more), samples: [] });
const traffic = { requests: 10, errors: 0, error_rate: 0, p50_seconds: 0.01, p95_seconds: 0.02 };
const sample = (at: string): Sample => ({
  environment: "qa", at, canary: traffic, baseline: null, verdict: "inconclusive", reasons: [], elapsed_seconds: 1,
});

test("steps stand in the order of the flow, whatever order their events come in", () => {
  const events = ["promote/dev", "admit", "try"].map((name) => ({ kind: "step", data: step(name, "passed", "1", "2") }));
  assert.deepEqual(applyEvents(live(), events).change.steps.map((one) => one.step), ["admit", "try", "promote/dev"]);
});

test("an older event never takes back what a snapshot already knows to have ended", () => {
  const ended = live({ steps: [step("admit", "passed", "1", "2")], state: "rejected", ended_at: "3" });
  const after = applyEvents(ended, [
    { kind: "step", data: step("admit", "running", "1") },
    { kind: "state", data: { ...change(), state: "running" } },
  ]);
  assert.equal(after.change.steps[0]?.state, "passed");
  assert.equal(after.change.state, "rejected");
});

test("a step that runs again on a newer base replaces the one before", () => {
  const after = applyEvents(live({ steps: [step("try", "passed", "1", "2")] }), [{ kind: "step", data: step("try", "running", "3") }]);
  assert.deepEqual(after.change.steps.map((one) => one.state), ["running"]);
  assert.equal(currentStep(after.change), "try");
});

test("a gate that the snapshot holds is not listed again by its event, and keeps its envelope", () => {
  const gate: Gate = {
    gate: "build", environment: null, verdict: "pass", reasons: [], data: {}, subject: "s", at: "5", duration_seconds: 1, envelope_id: 12,
  };
  const { envelope_id: _, ...event } = gate;
  const after = applyEvents(live({ gates: [gate] }), [{ kind: "gate", data: event }, { kind: "gate", data: { ...event, gate: "policy" } }]);
  assert.deepEqual(after.change.gates.map((one) => [one.gate, one.envelope_id]), [["build", 12], ["policy", undefined]]);
});

test("a candidate is replaced by its newer form", () => {
  const events = ["counted", "refuted"].map((standing) => ({ kind: "candidate", data: { model: "m", standing } }));
  assert.deepEqual(applyEvents(live(), events).change.candidates.map((one) => one.standing), ["refuted"]);
});

test("samples come once each, show the environment as a canary, and outlive a fresh snapshot", () => {
  const deploying = change().environments.map((one) => ({ ...one, state: one.environment === "qa" ? ("deploying" as const) : one.state }));
  const events = [sample("1"), sample("2"), sample("1")].map((data) => ({ kind: "sample", data }));
  const after = applyEvents(live({ environments: deploying }), events);
  assert.deepEqual(after.samples.map((one) => one.at), ["1", "2"]);
  assert.deepEqual(after.change.environments.map((one) => one.state), ["waiting", "canary", "waiting", "waiting"]);
  assert.equal(withSnapshot(after, change()).samples.length, 2);
});

test("a sample that is read again does not reopen an environment that has passed", () => {
  const passed = change().environments.map((one) => ({ ...one, state: "passed" as const }));
  const after = applyEvents(live({ environments: passed }), [{ kind: "sample", data: sample("1") }]);
  assert.ok(after.change.environments.every((one) => one.state === "passed"));
});

test("only a promoted change whose environments went back counts as taken back", () => {
  const back = change().environments.map((one) => ({ ...one, state: "rolled_back" as const }));
  assert.ok(isTakenBack(change({ state: "promoted", environments: back })));
  assert.ok(!isTakenBack(change({ state: "rolled_back", environments: back })));
  assert.ok(!isTakenBack(change({ state: "promoted" })));
});

test("an event of a kind that is not known changes nothing", () => {
  const before = live();
  assert.equal(applyEvents(before, [{ kind: "weather", data: {} }]), before);
});

/**
 * What the page knows of one change: the API's snapshot plus the events that came after it. Pure.
 *
 * - The stream replays from the start, so an event may be older than the snapshot: it never undoes an ending.
 * - A step, candidate, gate or environment is replaced by its newer form, never listed twice.
 * - A gate's event does not know its envelope: what the snapshot knows of it stays.
 */
import type { Candidate, Change, ChangeEnvironment, ChangeSummary, Gate, Sample, StepRecord } from "./api.ts";
import { STEPS } from "./words.ts";

export interface LiveChange {
  change: Change;
  samples: Sample[];
}

export interface ChangeEvent {
  kind: string;
  data: unknown;
}

export function applyEvents(live: LiveChange, events: ChangeEvent[]): LiveChange {
  return events.reduce(applyEvent, live);
}

function applyEvent(live: LiveChange, event: ChangeEvent): LiveChange {
  const { change } = live;
  switch (event.kind) {
    case "step":
      return { ...live, change: withStep(change, event.data as StepRecord) };
    case "candidate": {
      const candidate = event.data as Candidate;
      return { ...live, change: { ...change, candidates: replaced(change.candidates, candidate, (one) => one.model) } };
    }
    case "gate": {
      const gate = event.data as Gate;
      const known = change.gates.find((one) => gateKey(one) === gateKey(gate));
      return { ...live, change: { ...change, gates: replaced(change.gates, { ...known, ...gate }, gateKey) } };
    }
    case "environment": {
      const found = event.data as ChangeEnvironment;
      return { ...live, change: { ...change, environments: withEnvironment(change.environments, found) } };
    }
    case "sample":
      return withSample(live, event.data as Sample);
    case "state":
      return { ...live, change: withSummary(change, event.data as ChangeSummary) };
    default:
      return live;
  }
}

/** A fresh snapshot wins over everything but the samples, which only the stream carries. */
export function withSnapshot(live: LiveChange | null, change: Change): LiveChange {
  return { change, samples: live?.samples ?? [] };
}

/** A promoted change keeps its state when it is taken back later; its environments say so. */
export function isTakenBack(change: Change): boolean {
  return change.state === "promoted" && change.environments.some((one) => one.state === "rolled_back");
}

export function currentStep(change: Change): string | null {
  if (change.state !== "running") return null;
  return change.steps.find((one) => one.state === "running")?.step ?? change.step;
}

function withStep(change: Change, step: StepRecord): Change {
  const known = change.steps.find((one) => one.step === step.step);
  if (known && (known.started_at > step.started_at || (known.started_at === step.started_at && known.ended_at && !step.ended_at))) {
    return change;
  }
  const steps = replaced(change.steps, step, (one) => one.step).sort((a, b) => order(a.step) - order(b.step));
  return { ...change, steps };
}

function withSummary(change: Change, summary: ChangeSummary): Change {
  if (change.state !== "running" && summary.state === "running") return change;
  const { state, reasons, ended_at, kind, step } = summary;
  return { ...change, state, reasons, ended_at, kind, step };
}

function withEnvironment(all: ChangeEnvironment[], found: ChangeEnvironment): ChangeEnvironment[] {
  return all.map((one) => (one.environment === found.environment ? { ...one, ...found } : one));
}

function withSample(live: LiveChange, sample: Sample): LiveChange {
  const known = live.samples.some((one) => one.environment === sample.environment && one.at === sample.at);
  if (known) return live;
  const analysis = { canary: sample.canary, baseline: sample.baseline };
  const environments = live.change.environments.map((one) => {
    if (one.environment !== sample.environment) return one;
    return { ...one, analysis, state: one.state === "deploying" ? ("canary" as const) : one.state };
  });
  return { change: { ...live.change, environments }, samples: [...live.samples, sample] };
}

function replaced<T>(all: T[], item: T, key: (one: T) => unknown): T[] {
  const at = all.findIndex((one) => key(one) === key(item));
  return at < 0 ? [...all, item] : all.with(at, item);
}

/** One verdict: a gate judges one subject in one environment at one moment. */
export function gateKey(gate: Gate): string {
  return `${gate.gate}/${gate.environment}/${gate.at}`;
}

function order(step: string): number {
  const at = STEPS.findIndex((one) => one.name === step);
  return at < 0 ? STEPS.length : at;
}

/** The API's states in the words the pages use, each with the tone it is shown in. */
import type { ChangeState, ComponentState, EnvironmentState, Standing, StepState, Verdict } from "./api.ts";

export type Tone = "good" | "bad" | "warn" | "busy" | "quiet";

export interface Word {
  text: string;
  tone: Tone;
}

const word = (text: string, tone: Tone): Word => ({ text, tone });

export const CHANGE_STATES: Record<ChangeState, Word> = {
  running: word("Running", "busy"),
  promoted: word("In production", "good"),
  rejected: word("Rejected", "bad"),
  rolled_back: word("Rolled back", "warn"),
  cancelled: word("Cancelled", "quiet"),
};

/** A promoted change that is in production no more. */
export const TAKEN_BACK: Word = word("Taken back", "warn");

export const STEP_STATES: Record<StepState | "pending", Word> = {
  pending: word("Not started", "quiet"),
  running: word("Running", "busy"),
  passed: word("Passed", "good"),
  refused: word("Refused", "bad"),
  failed: word("Failed", "bad"),
  skipped: word("Skipped", "quiet"),
};

export const STANDINGS: Record<Standing, Word & { means: string }> = {
  absent: { ...word("No answer", "quiet"), means: "The model gave no answer." },
  spoiled: { ...word("Not usable", "bad"), means: "It answered, but the answer cannot be applied." },
  refuted: { ...word("Failed the tests", "bad"), means: "Its edit applies, but the application's own tests fail." },
  counted: { ...word("Counted", "good"), means: "Its edit survives the application's tests and counts in the vote." },
};

export const VERDICTS: Record<Verdict, Word> = {
  pass: word("Pass", "good"),
  fail: word("Fail", "bad"),
  inconclusive: word("Inconclusive", "warn"),
};

export const ENVIRONMENT_STATES: Record<EnvironmentState, Word> = {
  waiting: word("Not reached", "quiet"),
  deploying: word("Deploying", "busy"),
  canary: word("Canary", "busy"),
  passed: word("Passed", "good"),
  failed: word("Failed", "bad"),
  rolled_back: word("Rolled back", "warn"),
  awaiting_approval: word("Needs your approval", "warn"),
};

export const COMPONENT_STATES: Record<ComponentState, Word> = {
  waiting: word("Waiting", "quiet"),
  starting: word("Starting", "busy"),
  ready: word("Healthy", "good"),
  unready: word("Not answering", "bad"),
  backoff: word("Restarting", "warn"),
  gave_up: word("Gave up", "bad"),
  stopping: word("Stopping", "quiet"),
  stopped: word("Stopped", "quiet"),
  exited: word("Exited", "warn"),
};

export const SCAN_STATES: Record<string, Word> = {
  clean: word("Clean", "good"),
  findings: word("Findings", "bad"),
  not_scanned: word("Not scanned", "warn"),
  not_applicable: word("Does not apply", "quiet"),
};

/** A state the console does not know yet is shown as it is, in a neutral tone. */
export function wordFor<K extends string>(words: Record<K, Word>, state: string): Word {
  return (words as Record<string, Word>)[state] ?? word(state.replaceAll("_", " "), "quiet");
}

export interface StepWord {
  name: string;
  title: string;
  explains: string;
}

const step = (name: string, title: string, explains: string): StepWord => ({ name, title, explains });

/** The eleven steps of a change, in the order they run. */
export const STEPS: StepWord[] = [
  step("admit", "Admit", "May this be asked, and what kind of change is it?"),
  step("context", "Gather context", "The files and facts the models are given."),
  step("propose", "Ask the models", "Every model proposes an edit, in parallel."),
  step("try", "Try each answer", "Each edit is applied and tested in a sandbox."),
  step("reduce", "Vote", "Answers that behave alike are counted together."),
  step("gates", "Gates", "Build, integration, security, policy, evaluations."),
  step("promote/dev", "Deploy to dev", "First run of the new release."),
  step("promote/qa", "Deploy to qa", "A canary takes part of the traffic."),
  step("promote/staging", "Deploy to staging", "The canary again, against the service levels."),
  step("promote/prod", "Deploy to production", "The last canary before everyone gets it."),
  step("record", "Record", "Commit, evidence bundle, audit entry."),
];

export const ENVIRONMENTS = ["dev", "qa", "staging", "prod"];

const GATES: Record<string, string> = {
  build: "Build and unit tests",
  integration: "Integration tests",
  security: "Security scan",
  policy: "Policy",
  evals: "Evaluations",
  canary: "Canary analysis",
};

export function gateTitle(gate: string): string {
  return GATES[gate] ?? gate;
}

export function stepTitle(name: string): string {
  return STEPS.find((one) => one.name === name)?.title ?? name;
}

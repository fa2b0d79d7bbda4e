/** What the API says of the stack. */
import type { ComponentState, ComponentStatus } from "../api.ts";

export type Outcome = "works" | "installs" | "not obtainable here" | "external" | "failed" | "unproven";
export type Verb = "install" | "fix" | "remove" | "verify" | "restart";

export interface Drift {
  level: string;
  severity: "warning" | "error";
  subject: string;
  message: string;
  repair: string;
}

/** Why a system counts as unproven, and the repair that may change it. */
export interface Unproven {
  reason: string;
  verb: Verb | null;
}

export interface SystemCard {
  id: string;
  name: string;
  role: string;
  status: string;
  kind: string;
  summary: string;
  origin: string;
  outcome: Outcome;
  version: string;
  proven_at: string | null;
  locked: boolean;
  lockable: boolean;
  unproven: Unproven | null;
  installed: string | null;
  component: string | null;
  state: ComponentState | null;
  drift: Drift[];
}

export interface StackLayer {
  id: string;
  name: string;
  purpose: string;
  systems: SystemCard[];
}

export interface Role {
  id: string;
  meaning: string;
  default: string | null;
  others: string[];
}

export interface Stack {
  layers: StackLayer[];
  roles: Role[];
  counts: Partial<Record<Outcome, number>>;
  drift: Drift[];
  not_compared: string[];
  profile: { name: string; title: string; components: string[] };
}

export interface Route {
  kind: string;
  package: string;
  version: string;
  origin: string;
  locked: boolean;
  why: string;
  files: number;
  size_bytes: number;
  signer: string;
}

export interface Evidence {
  holds: boolean;
  reason: string;
  path: string;
  at: string | null;
  signed_by: string;
  outcome?: Outcome;
  seconds?: number;
  purpose?: string;
  route?: string;
}

export interface Repair {
  verb: Verb;
  label: string;
  enabled: boolean;
  why: string;
}

export interface System extends SystemCard {
  layer: { id: string; name: string };
  upstream: string;
  licence: string;
  docs: string;
  spec: string[];
  reason: string;
  answers: { owner: string; adoption: string; failure_modes: string[]; rollback: string };
  provides: string[];
  consumes: string[];
  routes: Route[];
  smoke: { purpose: string; steps: number } | null;
  external: { why: string; covered_by: string } | null;
  evidence: Evidence;
  running: ComponentStatus | null;
  repairs: Repair[];
  repairing: { verb: Verb; state: "running" | "done" | "failed"; reason: string; at: string; trace_id?: string } | null;
}

export interface PhaseTask {
  id: string;
  phase: string;
  title: string;
  needs: string[];
  state: "waiting" | "running" | "passed" | "failed" | "blocked";
  reasons: string[];
  seconds: number;
  at: string;
}

export interface PhasesShown {
  run: { id: string; first: string; last: string; state: string; started_at: string; trace_id: string } | null;
  phases: { id: string; title: string; what: string }[];
  tasks: PhaseTask[];
}

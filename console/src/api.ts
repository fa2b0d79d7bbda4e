/** The shapes the HTTP API answers with. One place: everything else in the console is typed from here. */

export interface Me {
  principal: string;
  roles: string[];
}

export type ComponentState =
  | "waiting" | "starting" | "ready" | "unready" | "backoff" | "gave_up" | "stopping" | "stopped" | "exited";

export interface ComponentStatus {
  id: string;
  name: string;
  version: string;
  state: ComponentState;
  pid: number | null;
  ready_seconds: number | null;
  rss_bytes: number | null;
  endpoints: Record<string, string>;
  waiting_for: string[];
  restarts: number;
  reason: string;
  since: string;
  group: string;
}

export interface Status {
  ready: boolean;
  profile: string;
  url: string;
  components: ComponentStatus[];
}

export interface ApplicationEnvironment {
  environment: string;
  url: string;
  stable: { release: string; commit: string; at: string; component: string } | null;
  canary: { release: string; commit: string; weight: number } | null;
  healthy: boolean | null;
}

export interface Application {
  name: string;
  path: string;
  branch: string;
  head: string;
  environments: ApplicationEnvironment[];
  state: "adopting" | "ready" | "failed";
  reasons: string[];
}

export type Tier = "local" | "cloud";

export interface Voter {
  name: string;
  tier: Tier;
  weight: number;
  lineage: string;
  present: boolean;
  /** Why it would not vote: not here, or only in reserve. */
  reason: string;
}

export interface InferencePolicy {
  name: string;
  local_min: number;
  cloud_min: number;
  allowed: boolean;
  /** What stands against it now, also when policy allows it: too few voters are here. */
  reasons: string[];
  voters: Voter[];
}

export interface Policies {
  policies: InferencePolicy[];
  default: string;
}

export type ChangeKind = "code" | "config";
export type ChangeState = "running" | "promoted" | "rejected" | "rolled_back" | "cancelled";
export type StepState = "running" | "passed" | "refused" | "failed" | "skipped";

export interface ChangeSummary {
  id: string;
  application: string;
  kind: ChangeKind | null;
  intent: string;
  policy: string;
  principal: string;
  state: ChangeState;
  trace_id: string;
  created_at: string;
  ended_at: string | null;
  reasons: string[];
  step: string | null;
}

export interface StepRecord {
  change_id: string;
  step: string;
  state: StepState;
  started_at: string;
  ended_at: string | null;
  duration_seconds: number | null;
  outside_seconds: number;
  inputs: Record<string, unknown>;
  outputs: Record<string, unknown>;
  reasons: string[];
}

export type Standing = "absent" | "spoiled" | "refuted" | "counted";

export interface Candidate {
  model: string;
  tier: Tier;
  lineage: string;
  weight: number;
  latency_seconds: number;
  standing: Standing;
  reasons: string[];
  answer: { summary?: string } | null;
  response_digest: string | null;
  tree: string | null;
  canonical: string | null;
  behaviour: string | null;
  diff: string | null;
  tokens_in: number | null;
  tokens_out: number | null;
}

export interface Cluster {
  key: string;
  weight: number;
  models: string[];
  representative: string;
}

export interface Distinguishing {
  function: string;
  input: unknown;
  outcomes: Record<string, string>;
}

export interface Consensus {
  reached: boolean;
  score: number;
  winner: string | null;
  representative: string | null;
  method: string;
  clusters: Cluster[];
  reasons: string[];
  contested: boolean;
  details: Record<string, unknown>;
}

export type Verdict = "pass" | "fail" | "inconclusive";

export interface Gate {
  gate: string;
  environment: string | null;
  verdict: Verdict;
  reasons: string[];
  data: Record<string, unknown>;
  subject: string;
  at: string;
  duration_seconds: number;
  /** Only a snapshot knows it; the event of a fresh gate does not. */
  envelope_id?: number;
}

export interface Scan {
  scanner: string;
  covers: unknown;
  state: "clean" | "findings" | "not_scanned" | "not_applicable";
  findings?: unknown[];
  reason?: string;
}

export interface Traffic {
  requests: number;
  errors: number;
  error_rate: number;
  p50_seconds: number;
  p95_seconds: number;
}

export interface Slo {
  error_rate_max: number;
  latency_p95_seconds_max: number;
}

export interface Sample {
  environment: string;
  at: string;
  canary: Traffic;
  baseline: Traffic | null;
  verdict: Verdict;
  reasons: string[];
  elapsed_seconds: number;
}

export type EnvironmentState =
  | "waiting" | "deploying" | "canary" | "passed" | "failed" | "rolled_back" | "awaiting_approval";

export interface ChangeEnvironment {
  environment: string;
  state: EnvironmentState;
  release: string | null;
  url: string;
  reasons: string[];
  analysis: { canary: Traffic; baseline: Traffic | null } | null;
  slo?: Slo;
}

export interface Change extends ChangeSummary {
  base_commit: string | null;
  commit: string | null;
  release: string | null;
  consensus: Consensus | null;
  steps: StepRecord[];
  candidates: Candidate[];
  gates: Gate[];
  environments: ChangeEnvironment[];
  ours_seconds: number | null;
  held?: boolean;
}

export interface Envelope {
  id: number;
  gate: string;
  environment: string | null;
  envelope: unknown;
  verified: boolean;
  reason: string;
}

export interface Provider {
  name: string;
  tier: Tier;
  adapter: string;
  base_url: string | null;
  model: string;
  weight: number;
  lineage: string;
  priority: number;
  key_env: string | null;
  has_key: boolean;
}

export interface NewProvider {
  name: string;
  tier: Tier;
  base_url?: string;
  model: string;
  weight: number;
  key?: string;
  adapter?: string;
  lineage?: string;
}

export interface ProviderTest {
  ok: boolean;
  latency_seconds: number;
  reply: string;
  reason: string;
}

export interface Model {
  name: string;
  lineage: string;
  licence: string;
  size_bytes: number | null;
  state: "installed" | "available" | "failed" | "downloading";
  set: string;
  reason: string;
}

export interface AuditEntry {
  seq: number;
  at: string;
  principal: string;
  action: string;
  resource: string;
  outcome: string;
  decision_id: string | null;
  policy_revision: string | null;
  trace_id: string | null;
  data: Record<string, unknown>;
  previous: string;
  hash: string;
}

export interface AuditPage {
  entries: AuditEntry[];
  head: string;
}

export interface AuditVerdict {
  ok: boolean;
  entries: number;
  head: string;
  broken_at: number | null;
  reason: string;
}

export interface NodeKey {
  key_id: string;
  public_key_pem: string;
}

export interface Span {
  id: number;
  trace_id: string;
  span_id: string;
  parent_id: string | null;
  name: string;
  /** Since 1970. */
  start_ns: number;
  end_ns: number;
  status: "ok" | "error";
  attributes: Record<string, unknown>;
}

export interface Setting {
  key: string;
  value: unknown;
  source: string;
}

/** Calls the HTTP API of the page's own origin. Every call has a deadline and fails with an {@link ApiError}. */
import type * as api from "./api.ts";
import type * as map from "./stack/types.ts";

const DEADLINE_MS = 20_000;
/** A model on a slow machine may take this long to say its first words. */
const MODEL_DEADLINE_MS = 150_000;

export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryable: boolean;

  constructor(status: number, code: string, message: string, retryable: boolean) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryable = retryable;
  }
}

/** True when the API does not know who asks. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

export async function request<T>(method: string, path: string, body?: unknown, ms = DEADLINE_MS): Promise<T> {
  const response = await reach(method, path, body, ms);
  const text = await response.text();
  if (!response.ok) throw refusal(response.status, text, `${method} ${path}`);
  return (text ? JSON.parse(text) : undefined) as T;
}

async function reach(method: string, path: string, body: unknown, ms: number): Promise<Response> {
  const init: RequestInit = { method, signal: AbortSignal.timeout(ms), headers: { accept: "application/json" } };
  if (body !== undefined) {
    init.headers = { accept: "application/json", "content-type": "application/json" };
    init.body = JSON.stringify(body);
  }
  try {
    return await fetch(`/api${path}`, init);
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    const message = late
      ? `Ripple did not answer within ${ms / 1000} seconds. It may be busy; try again.`
      : "Ripple does not answer. It may be restarting; try again in a moment, or run ./ripple status.";
    throw new ApiError(0, late ? "deadline_exceeded" : "unreachable", message, true);
  }
}

/** The error of a response that is not 2xx, whatever its body looks like. */
export function refusal(status: number, text: string, what: string): ApiError {
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string; retryable: boolean } };
    if (error.message) return new ApiError(status, error.code, error.message, Boolean(error.retryable));
  } catch {
    // Not the API's own answer: a proxy's page, or nothing at all.
  }
  return new ApiError(status, "unknown", `${what} failed with status ${status}; see the log of the API`, status >= 500);
}

const part = encodeURIComponent;

export const signIn = (token: string) => request<void>("POST", "/sign-in", { token });
export const signOut = () => request<void>("POST", "/sign-out");
export const me = () => request<api.Me>("GET", "/me");

export const status = () => request<api.Status>("GET", "/status");
export const restart = (id: string) => request<void>("POST", `/components/${part(id)}/restart`);
export const logs = (id: string, lines: number) =>
  request<{ text: string }>("GET", `/components/${part(id)}/logs?lines=${lines}`);

export const applications = () => request<{ applications: api.Application[] }>("GET", "/applications");
export const addApplication = (path: string, copy: boolean) =>
  request<api.Application>("POST", "/applications", copy ? { path, copy } : { path });
export const adoptAgain = (name: string) => request<void>("POST", `/applications/${part(name)}/adopt`);

export const policies = () => request<api.Policies>("GET", "/policies");

export interface Ask {
  application: string;
  intent: string;
  policy?: string;
  kind?: api.ChangeKind;
}
export const ask = (change: Ask) => request<api.ChangeSummary>("POST", "/changes", change);
export const changes = () => request<{ changes: api.ChangeSummary[] }>("GET", "/changes?limit=200");
export const change = (id: string) => request<api.Change>("GET", `/changes/${part(id)}`);
export const samples = (id: string) => request<{ samples: api.Sample[] }>("GET", `/changes/${part(id)}/samples`);
export const evidence = (id: string) => request<{ envelopes: api.Envelope[] }>("GET", `/changes/${part(id)}/evidence`);
export const approve = (id: string, environment: string) =>
  request<api.ChangeSummary>("POST", `/changes/${part(id)}/approve`, { environment });
export const cancel = (id: string) => request<api.ChangeSummary>("POST", `/changes/${part(id)}/cancel`);
export const rollBack = (id: string) => request<api.ChangeSummary>("POST", `/changes/${part(id)}/rollback`);
export const unhold = (digest: string) => request<void>("POST", `/releases/${part(digest)}/unhold`);

export const providers = () => request<{ providers: api.Provider[] }>("GET", "/providers");
export const addProvider = (provider: api.NewProvider) => request<api.Provider>("POST", "/providers", provider);
export const removeProvider = (name: string) => request<void>("DELETE", `/providers/${part(name)}`);
export const testProvider = (name: string) =>
  request<api.ProviderTest>("POST", `/providers/${part(name)}/test`, undefined, MODEL_DEADLINE_MS);
export const models = () => request<{ models: api.Model[] }>("GET", "/models");
export const addModels = (set: string) => request<void>("POST", `/models/${part(set)}/add`);

export const audit = (q: string, before?: number) =>
  request<api.AuditPage>("GET", `/audit?limit=50&q=${part(q)}${before === undefined ? "" : `&before=${before}`}`);
export const verifyAudit = () => request<api.AuditVerdict>("GET", "/audit/verify", undefined, 120_000);
export const nodeKey = () => request<api.NodeKey>("GET", "/audit/key");

export const trace = (id: string) => request<{ spans: api.Span[] }>("GET", `/traces/${part(id)}`);
export const settings = () => request<{ settings: api.Setting[] }>("GET", "/config");

export const stack = () => request<map.Stack>("GET", "/stack", undefined, 60_000);
export const system = (id: string) => request<map.System>("GET", `/stack/${part(id)}`, undefined, 60_000);
export const repairSystem = (id: string, verb: map.Verb) =>
  request<{ verb: map.Verb; state: string; trace_id: string }>("POST", `/stack/${part(id)}/repair`, { verb });
export const phases = () => request<map.PhasesShown>("GET", "/phases");
export const runPhases = (from: string, to: string) => request<map.PhasesShown>("POST", "/phases", { from, to });

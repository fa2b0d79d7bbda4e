/** Who is signed in, as far as the page knows. */
import { signal } from "@preact/signals";
import type { Me } from "./api.ts";
import { isSignedOut, me } from "./client.ts";

export type Session =
  | { state: "asking" }
  | { state: "signed-out" }
  | { state: "signed-in"; me: Me }
  | { state: "unreachable"; error: Error };

export const session = signal<Session>({ state: "asking" });

export async function askWhoIsSignedIn(): Promise<void> {
  try {
    session.value = { state: "signed-in", me: await me() };
  } catch (error) {
    session.value = isSignedOut(error) ? { state: "signed-out" } : { state: "unreachable", error: error as Error };
  }
}

/** Call with any failed request's error: a session that ended shows the signed-out page. */
export function noticeSignedOut(error: unknown): void {
  if (isSignedOut(error)) session.value = { state: "signed-out" };
}

/** Follows one change's events over HTTP. After a lost connection it goes on behind the last event it saw. */
import { ApiError, refusal } from "./client.ts";
import { EventStreamParser } from "./event-stream.ts";
import type { ChangeEvent } from "./live-change.ts";

export type FeedState = "connecting" | "live" | "reconnecting" | "ended" | "refused";

export interface FeedListener {
  /** Events that arrived together, in order. */
  events(batch: ChangeEvent[]): void;
  state(state: FeedState): void;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;

/** Starts following; call the returned function to stop. */
export function follow(changeId: string, listener: FeedListener): () => void {
  const stop = new AbortController();
  void run(changeId, listener, stop.signal);
  return () => stop.abort();
}

async function run(changeId: string, listener: FeedListener, stop: AbortSignal): Promise<void> {
  const place = { last: "" };
  let wait = FIRST_RETRY_MS;
  listener.state("connecting");
  while (!stop.aborted) {
    try {
      const ended = await connection(changeId, place, listener, stop, () => {
        wait = FIRST_RETRY_MS;
        listener.state("live");
      });
      if (ended) return listener.state("ended");
    } catch (error) {
      if (stop.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) return listener.state("refused");
    }
    if (stop.aborted) return;
    listener.state("reconnecting");
    await pause(wait, stop);
    wait = Math.min(wait * 2, LAST_RETRY_MS);
  }
}

async function connection(
  changeId: string, place: { last: string }, listener: FeedListener, stop: AbortSignal, opened: () => void,
): Promise<boolean> {
  const path = `/api/changes/${encodeURIComponent(changeId)}/events`;
  const headers: Record<string, string> = { accept: "text/event-stream" };
  if (place.last) headers["last-event-id"] = place.last;
  const response = await fetch(path, { headers, signal: stop, cache: "no-store" });
  if (!response.ok || !response.body) throw refusal(response.status, await response.text(), `GET ${path}`);
  opened();
  return read(response.body, place, listener);
}

async function read(body: ReadableStream<Uint8Array>, place: { last: string }, listener: FeedListener): Promise<boolean> {
  const parser = new EventStreamParser();
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return false;
    const found = parser.push(value);
    const events = found.filter((one) => one.kind !== "end");
    if (events.length) listener.events(events.map((one) => ({ kind: one.kind, data: JSON.parse(one.data) as unknown })));
    place.last = events.at(-1)?.id || place.last;
    if (found.length > events.length) return true;
  }
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stop.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

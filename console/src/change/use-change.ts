/** Keeps one change up to date: a snapshot, then the live events, then the snapshot again when it matters. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Envelope } from "../api.ts";
import { ApiError, change as getChange, evidence, samples as getSamples } from "../client.ts";
import { type FeedState, follow } from "../feed.ts";
import { type ChangeEvent, type LiveChange, applyEvents, withSnapshot } from "../live-change.ts";
import { noticeSignedOut } from "../session.ts";

/** The vote's result and signed envelopes come with the snapshot alone; these events say there may be more. */
const WORTH_A_SNAPSHOT = new Set(["step", "gate", "state", "environment", "rebase"]);
const SETTLE_MS = 500;
const RETRY_MS = 3000;

export interface WatchedChange {
  live: LiveChange | null;
  envelopes: Envelope[];
  feed: FeedState;
  error: Error | null;
  reload: () => Promise<void>;
}

export function useChange(id: string): WatchedChange {
  const [live, setLive] = useState<LiveChange | null>(null);
  const [envelopes, setEnvelopes] = useState<Envelope[]>([]);
  const [feed, setFeed] = useState<FeedState>("connecting");
  const [error, setError] = useState<Error | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);

  const reload = useCallback(async () => {
    clearTimeout(timer.current);
    try {
      const [change, signed] = await Promise.all([getChange(id), evidence(id)]);
      setEnvelopes(signed.envelopes);
      setLive((before) => withSnapshot(before, change));
      setError(null);
    } catch (failure) {
      noticeSignedOut(failure);
      setError(failure as Error);
      if (failure instanceof ApiError && failure.retryable) timer.current = setTimeout(() => void reload(), RETRY_MS);
    }
  }, [id]);

  const soon = useCallback(() => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => void reload(), SETTLE_MS);
  }, [reload]);

  const receive = useCallback((events: ChangeEvent[]) => {
    setLive((before) => before && applyEvents(before, events));
    if (events.some((one) => WORTH_A_SNAPSHOT.has(one.kind))) soon();
  }, [soon]);

  const known = live !== null;
  const running = live?.change.state === "running";

  useEffect(() => {
    void reload();
    return () => clearTimeout(timer.current);
  }, [reload]);

  useEffect(() => {
    if (!known) return undefined;
    if (!running) {
      setFeed("ended");
      void getSamples(id).then(({ samples }) => setLive((before) => before && { ...before, samples })).catch(noticeSignedOut);
      return undefined;
    }
    return follow(id, {
      events: receive,
      state: (state) => {
        setFeed(state);
        // Also after a lost connection: an error from that time would stay on the page else.
        if (state === "ended" || state === "live") soon();
      },
    });
  }, [id, known, running, receive, soon]);

  return { live, envelopes, feed, error, reload };
}

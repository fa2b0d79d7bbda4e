/** Whether the page is live, said calmly, and each step's end said aloud. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Change } from "../api.ts";
import type { FeedState } from "../feed.ts";
import { seconds } from "../format.ts";
import { CHANGE_STATES, STEP_STATES, stepTitle, wordFor } from "../words.ts";

const WORDS: Record<FeedState, string> = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "The connection was lost. Reconnecting; nothing is missed.",
  ended: "",
  refused: "Live updates were refused. Reload the page to see the newest state.",
};

export function Connection({ state, running }: { state: FeedState; running: boolean }) {
  if (!running || !WORDS[state]) return null;
  return (
    <p class={`connection ${state}`} data-connection={state}>
      <span class="pulse" aria-hidden="true" /> {WORDS[state]}
    </p>
  );
}

/** Speaks to screen readers only: the timeline shows the same to the eye. */
export function StepAnnouncer({ change }: { change: Change }) {
  const [said, setSaid] = useState("");
  const ended = useRef(new Set(change.steps.filter((one) => one.ended_at).map((one) => one.step)));
  useEffect(() => {
    const fresh = change.steps.filter((one) => one.ended_at && !ended.current.has(one.step));
    for (const one of fresh) ended.current.add(one.step);
    const last = fresh.at(-1);
    if (last) setSaid(`${stepTitle(last.step)}: ${wordFor(STEP_STATES, last.state).text} after ${seconds(last.duration_seconds)}`);
  }, [change.steps]);
  useEffect(() => {
    if (change.state !== "running") setSaid(`The change is ${wordFor(CHANGE_STATES, change.state).text.toLowerCase()}`);
  }, [change.state]);
  return <p class="unseen" role="status" aria-live="polite">{said}</p>;
}

/** The eleven steps, from top to bottom; each opens to show what went in, what came out and why. */
import type { Change, StepRecord } from "../api.ts";
import { useNow } from "../clock.ts";
import { seconds, secondsBetween } from "../format.ts";
import { currentStep } from "../live-change.ts";
import { Facts } from "../parts/facts.tsx";
import { Icon, type IconName } from "../parts/icon.tsx";
import { Reasons } from "../parts/notice.tsx";
import { When } from "../parts/when.tsx";
import { STEPS, STEP_STATES, type StepWord, wordFor } from "../words.ts";

const ICONS: Record<string, IconName> = { passed: "check", refused: "cross", failed: "bang", skipped: "dash" };

export function Timeline({ change }: { change: Change }) {
  const now = useNow(change.state === "running" ? 500 : 0);
  const current = currentStep(change);
  return (
    <section class="timeline" aria-labelledby="timeline-title">
      <h2 id="timeline-title">Steps</h2>
      <ol>
        {STEPS.map((word) => (
          <Step
            key={word.name}
            word={word}
            record={change.steps.find((one) => one.step === word.name)}
            current={word.name === current}
            now={now}
          />
        ))}
      </ol>
    </section>
  );
}

interface StepProps {
  word: StepWord;
  record: StepRecord | undefined;
  current: boolean;
  now: number;
}

function Step({ word, record, current, now }: StepProps) {
  const state = record?.state ?? "pending";
  const said = wordFor(STEP_STATES, state);
  const duration = record && (record.state === "running" ? secondsBetween(record.started_at, now) : record.duration_seconds);
  const head = (
    <>
      <span class={`step-mark tone-${said.tone}`}><StepIcon state={state} /></span>
      <span class="step-title">
        <span>{word.title}</span>
        <small>{record?.reasons[0] && state !== "passed" ? record.reasons[0] : word.explains}</small>
      </span>
      <span class="step-time">{record ? seconds(duration) : ""}</span>
      <span class="unseen">{said.text}</span>
    </>
  );
  return (
    <li class={`step ${state}`} aria-current={current ? "step" : undefined} data-step={word.name} data-state={state}>
      {record ? <details><summary>{head}</summary><StepDetails record={record} /></details> : <div class="step-head">{head}</div>}
    </li>
  );
}

function StepIcon({ state }: { state: string }) {
  const icon = ICONS[state];
  if (icon) return <Icon name={icon} />;
  return <span class={state === "running" ? "spinner" : "dot"} aria-hidden="true" />;
}

function StepDetails({ record }: { record: StepRecord }) {
  return (
    <div class="step-details">
      <p class="muted">Began <When at={record.started_at} /></p>
      <Reasons reasons={record.reasons} />
      {Object.keys(record.inputs).length > 0 && <><h3>What went in</h3><Facts facts={record.inputs} /></>}
      {Object.keys(record.outputs).length > 0 && <><h3>What came out</h3><Facts facts={record.outputs} /></>}
    </div>
  );
}

/** The phases of building a whole system: what each task saw, and a button that runs them. */
import { useState } from "preact/hooks";
import { phases, runPhases } from "../client.ts";
import { seconds } from "../format.ts";
import { Chip } from "../parts/chip.tsx";
import { ConfirmButton } from "../parts/dialog.tsx";
import { ErrorNotice, Reasons } from "../parts/notice.tsx";
import { Loading } from "../parts/waiting.tsx";
import { When } from "../parts/when.tsx";
import { useResource } from "../resource.ts";
import { say } from "../toast.ts";
import { type Word, wordFor } from "../words.ts";
import type { PhaseTask, PhasesShown } from "./types.ts";

const STATES: Record<PhaseTask["state"], Word> = {
  waiting: { text: "Not begun", tone: "quiet" },
  running: { text: "Running", tone: "busy" },
  passed: { text: "Passed", tone: "good" },
  failed: { text: "Failed", tone: "bad" },
  blocked: { text: "Blocked", tone: "warn" },
};

export function Phases() {
  const { data, error, reload } = useResource(phases, "phases", 3000);
  return (
    <section aria-labelledby="phases">
      <div class="section-head">
        <h2 id="phases">Phases</h2>
        {data && <Run data={data} reload={reload} />}
      </div>
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="the phases" />}
      {data?.run && <p class="muted">Run {data.run.id}, from {data.run.first} to {data.run.last}, {data.run.state}, begun <When at={data.run.started_at} />{data.run.trace_id && <>, trace <code class="wrap">{data.run.trace_id}</code></>}.</p>}
      {data && data.phases.map((phase) => <Phase key={phase.id} phase={phase} tasks={data.tasks.filter((task) => task.phase === phase.id)} />)}
    </section>
  );
}

function Phase({ phase, tasks }: { phase: PhasesShown["phases"][number]; tasks: PhaseTask[] }) {
  if (tasks.length === 0) return null;
  return (
    <details open={tasks.some((task) => task.state !== "waiting" && task.state !== "passed")}>
      <summary class="more">{phase.id}: {phase.title} ({tasks.filter((task) => task.state === "passed").length} of {tasks.length} passed)</summary>
      <p class="muted">{phase.what}</p>
      <ul class="rows">
        {tasks.map((task) => (
          <li key={task.id} class="row">
            <div class="row-main">
              <strong>{task.title}</strong>
              {task.seconds > 0 && <span class="muted">{seconds(task.seconds)}</span>}
              <Reasons reasons={task.reasons} />
            </div>
            <Chip word={wordFor(STATES, task.state)} />
          </li>
        ))}
      </ul>
    </details>
  );
}

function Run({ data, reload }: { data: PhasesShown; reload: () => Promise<void> }) {
  const ids = data.phases.map((one) => one.id);
  const [last, setLast] = useState("P6");
  if (data.run?.state === "running") return null;
  const run = async () => {
    await runPhases(ids[0] ?? "P0", last);
    say(`The phases up to ${last} are running.`);
    await reload();
  };
  return (
    <div class="row-actions">
      <select aria-label="The phase to end with" value={last} onChange={(event) => setLast(event.currentTarget.value)}>
        {ids.map((id) => <option key={id} value={id}>up to {id}</option>)}
      </select>
      <ConfirmButton label="Run the phases" title={`Run the phases up to ${last}?`} confirm="Run them" action={run}>
        <p>Each task looks at the real thing. A task that does not pass stops every later phase; what passed is signed.</p>
      </ConfirmButton>
    </div>
  );
}

/** The way through dev, qa, staging and prod, with the canary's numbers where one ran. */
import type { Change, ChangeEnvironment, Sample, Slo, Traffic } from "../api.ts";
import { percent, seconds } from "../format.ts";
import { Chip } from "../parts/chip.tsx";
import { CopyText } from "../parts/copy-text.tsx";
import { Icon } from "../parts/icon.tsx";
import { Reasons } from "../parts/notice.tsx";
import { ENVIRONMENT_STATES, wordFor } from "../words.ts";
import { CanaryChart } from "./canary-chart.tsx";

export function Environments({ change, samples }: { change: Change; samples: Sample[] }) {
  const tried = change.environments.filter((one) => one.analysis || samples.some((sample) => sample.environment === one.environment));
  return (
    <section aria-labelledby="environments-title">
      <h2 id="environments-title">Environments</h2>
      <ol class="pipeline">
        {change.environments.map((one) => <Stage key={one.environment} stage={one} />)}
      </ol>
      {[...tried].reverse().map((one, index) => (
        <CanaryPanel key={one.environment} stage={one} newest={index === 0} samples={samples.filter((sample) => sample.environment === one.environment)} slo={one.slo ?? null} />
      ))}
    </section>
  );
}

function Stage({ stage }: { stage: ChangeEnvironment }) {
  return (
    <li class={`place ${stage.state === "waiting" ? "bare" : ""}`} data-environment={stage.environment} data-state={stage.state}>
      <div class="place-head"><h3>{stage.environment}</h3></div>
      <Chip word={wordFor(ENVIRONMENT_STATES, stage.state)} />
      {stage.release && <p class="place-release"><CopyText text={stage.release} label="release" /></p>}
      {stage.state !== "passed" && <Reasons reasons={stage.reasons} />}
      {stage.url && stage.state !== "waiting" && <a href={stage.url} rel="noreferrer">Open<Icon name="out" /></a>}
    </li>
  );
}

interface PanelProps {
  stage: ChangeEnvironment;
  /** Only the newest canary is open: the vote below it is what one scrolls for. */
  newest: boolean;
  samples: Sample[];
  slo: Slo | null;
}

function CanaryPanel({ stage, newest, samples, slo }: PanelProps) {
  const last = samples.at(-1);
  const canary = last?.canary ?? stage.analysis?.canary;
  const baseline = last?.baseline ?? stage.analysis?.baseline ?? null;
  return (
    <details class="card canary-panel" data-canary={stage.environment} open={newest}>
      <summary>
        <h3>Canary in {stage.environment}</h3>
        {(stage.state === "canary" || !newest) && <span class="muted">{last?.reasons[0] ?? ""}</span>}
      </summary>
      {samples.length > 1 && (
        <div class="charts">
          <CanaryChart title="Error rate" samples={samples} value={(one) => one.error_rate} limit={slo?.error_rate_max ?? null} least={0.02} show={(value) => percent(value, 1)} />
          <CanaryChart title="95th percentile latency" samples={samples} value={(one) => one.p95_seconds} limit={slo?.latency_p95_seconds_max ?? null} least={0.01} show={seconds} />
        </div>
      )}
      {canary && <Numbers canary={canary} baseline={baseline} slo={slo} />}
    </details>
  );
}

function Numbers({ canary, baseline, slo }: { canary: Traffic; baseline: Traffic | null; slo: Slo | null }) {
  return (
    <div class="table-scroll">
      <table class="data numbers">
        <thead><tr><td /><th scope="col">Requests</th><th scope="col">Errors</th><th scope="col">Error rate</th><th scope="col">p95</th></tr></thead>
        <tbody>
          <Row name="Canary" mark="canary" traffic={canary} />
          {baseline && <Row name="Baseline" mark="baseline" traffic={baseline} />}
          {slo && <tr><th scope="row"><span class="key limit" aria-hidden="true" />Allowed</th><td /><td /><td>{percent(slo.error_rate_max, 1)}</td><td>{seconds(slo.latency_p95_seconds_max)}</td></tr>}
        </tbody>
      </table>
    </div>
  );
}

function Row({ name, mark, traffic }: { name: string; mark: string; traffic: Traffic }) {
  return (
    <tr>
      <th scope="row"><span class={`key ${mark}`} aria-hidden="true" />{name}</th>
      <td>{traffic.requests}</td><td>{traffic.errors}</td><td>{percent(traffic.error_rate, 1)}</td><td>{seconds(traffic.p95_seconds)}</td>
    </tr>
  );
}

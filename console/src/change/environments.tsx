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
      {[...tried].reverse().map((one) => (
        <CanaryPanel key={one.environment} stage={one} samples={samples.filter((sample) => sample.environment === one.environment)} slo={sloOf(change, one, samples)} />
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
      {stage.url && stage.state !== "waiting" && <a href={stage.url} rel="noreferrer">Open <Icon name="out" /></a>}
    </li>
  );
}

function CanaryPanel({ stage, samples, slo }: { stage: ChangeEnvironment; samples: Sample[]; slo: Slo | null }) {
  const last = samples.at(-1);
  const canary = last?.canary ?? stage.analysis?.canary;
  const baseline = last?.baseline ?? stage.analysis?.baseline ?? null;
  return (
    <div class="card canary" data-canary={stage.environment}>
      <div class="card-head">
        <h3>Canary in {stage.environment}</h3>
        {last && stage.state === "canary" && <span class="muted">{last.reasons[0] ?? ""}</span>}
      </div>
      {canary && <Numbers canary={canary} baseline={baseline} slo={slo} />}
      {samples.length > 1 && (
        <div class="charts">
          <CanaryChart title="Error rate" samples={samples} value={(one) => one.error_rate} limit={slo?.error_rate_max ?? null} show={(value) => percent(value, 1)} />
          <CanaryChart title="95th percentile latency" samples={samples} value={(one) => one.p95_seconds} limit={slo?.latency_p95_seconds_max ?? null} show={seconds} />
        </div>
      )}
    </div>
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

/** The limit travels with the samples, the environment or the canary gate's data, whichever the API sends. */
function sloOf(change: Change, stage: ChangeEnvironment, samples: Sample[]): Slo | null {
  const sampled = samples.find((one) => one.environment === stage.environment && one.slo)?.slo;
  const gate = change.gates.find((one) => one.gate === "canary" && one.environment === stage.environment);
  return sampled ?? stage.slo ?? (gate?.data["slo"] as Slo | undefined) ?? null;
}

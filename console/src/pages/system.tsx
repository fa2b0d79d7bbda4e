/** One system: what it is, why it waits, how it is got, what proves it, and how it is repaired. */
import { system } from "../client.ts";
import { bytes, seconds } from "../format.ts";
import { Chip } from "../parts/chip.tsx";
import { CopyText } from "../parts/copy-text.tsx";
import { Facts } from "../parts/facts.tsx";
import { LogViewer } from "../parts/log-viewer.tsx";
import { ErrorNotice, Notice } from "../parts/notice.tsx";
import { Page } from "../parts/page.tsx";
import { Loading } from "../parts/waiting.tsx";
import { When } from "../parts/when.tsx";
import { useResource } from "../resource.ts";
import { DriftRow } from "../stack/drift-list.tsx";
import { OUTCOMES } from "../stack/filter.ts";
import { RepairButton } from "../stack/repair-button.tsx";
import type { Route, System } from "../stack/types.ts";
import { COMPONENT_STATES, wordFor } from "../words.ts";

export function SystemPage({ id }: { id: string }) {
  const { data, error, reload } = useResource(() => system(id), id, 4000);
  const lead = data ? `${data.summary} ${data.layer.name}${data.layer.id === "0" ? "" : `, layer ${data.layer.id}`}.` : undefined;
  return (
    <Page title={data?.name ?? id} lead={lead}>
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what={id} />}
      {data && <Shown data={data} reload={reload} />}
    </Page>
  );
}

function Shown({ data, reload }: { data: System; reload: () => Promise<void> }) {
  return (
    <>
      <Head data={data} />
      <Repairs data={data} reload={reload} />
      {data.drift.length > 0 && (
        <Notice tone="bad" title="It drifts">
          <ul class="rows">{data.drift.map((one, index) => <li key={index} class="row"><DriftRow drift={one} /></li>)}</ul>
        </Notice>
      )}
      <Running data={data} />
      <Proof data={data} />
      <Routes routes={data.routes} />
      <About data={data} />
    </>
  );
}

function Head({ data }: { data: System }) {
  return (
    <dl class="tiles">
      <div><dt>Proof</dt><dd><Chip word={OUTCOMES[data.outcome] ?? OUTCOMES.unproven} /></dd></div>
      <div><dt>Status</dt><dd>{data.status}</dd></div>
      <div><dt>Installed</dt><dd>{data.installed ?? "no"}</dd></div>
      <div><dt>Runs</dt><dd>{data.running ? <Chip word={wordFor(COMPONENT_STATES, data.running.state)} /> : "no"}</dd></div>
    </dl>
  );
}

function Repairs({ data, reload }: { data: System; reload: () => Promise<void> }) {
  const busy = data.repairing?.state === "running";
  const offered = data.repairs.filter((one) => one.enabled);
  return (
    <section aria-label="Repairs">
      <div class="row-actions">
        {!busy && offered.map((one) => <RepairButton key={one.verb} system={data.id} name={data.name} verb={one.verb} done={reload} />)}
        {data.running && <LogViewer id={data.running.id} name={data.name} />}
      </div>
      <div aria-live="polite">
        {busy && <p class="loading"><span class="spinner" aria-hidden="true" /> {data.repairing?.verb} since <When at={data.repairing?.at ?? ""} /></p>}
        {data.repairing?.state === "failed" && <Notice tone="bad" title={`The last repair (${data.repairing.verb}) failed`}><p>{data.repairing.reason}</p></Notice>}
        {data.repairing?.trace_id && <p class="muted wrap">The last repair ({data.repairing.verb}) has the trace <code>{data.repairing.trace_id}</code> in the audit log.</p>}
      </div>
    </section>
  );
}

function Running({ data }: { data: System }) {
  const one = data.running;
  if (!one) return null;
  return (
    <section class="card" aria-labelledby="running">
      <h2 id="running">{one.name} <span class="version">{one.version}</span></h2>
      {one.waiting_for.length > 0 && <p class="reason">Waits for {one.waiting_for.join(", ")}.</p>}
      {one.reason && <p class="reason">{one.reason}</p>}
      <dl class="inline-facts">
        {one.pid !== null && <div><dt>Process</dt><dd>{one.pid}</dd></div>}
        {one.rss_bytes !== null && <div><dt>Memory</dt><dd>{bytes(one.rss_bytes)}</dd></div>}
        {one.ready_seconds !== null && <div><dt>Ready in</dt><dd>{seconds(one.ready_seconds)}</dd></div>}
        <div><dt>Restarts</dt><dd>{one.restarts}</dd></div>
      </dl>
      {Object.keys(one.endpoints).length > 0 && <Facts facts={one.endpoints} />}
    </section>
  );
}

function Proof({ data }: { data: System }) {
  const { evidence, smoke, external } = data;
  return (
    <section class="card" aria-labelledby="proof">
      <h2 id="proof">Proof</h2>
      {external && <p>{external.why} Covered by: <code class="wrap">{external.covered_by}</code></p>}
      {smoke && <p>It is proven by use: it {smoke.purpose}.</p>}
      {evidence.reason && <p class="reason">{evidence.reason}</p>}
      {evidence.holds && evidence.at && (
        <dl class="inline-facts">
          <div><dt>Tried</dt><dd><When at={evidence.at} /></dd></div>
          {data.version && <div><dt>Version</dt><dd>{data.version}</dd></div>}
          {evidence.route && <div><dt>Got by</dt><dd>{evidence.route}</dd></div>}
          {evidence.seconds ? <div><dt>Took</dt><dd>{seconds(evidence.seconds)}</dd></div> : null}
          <div><dt>Signed by</dt><dd><CopyText text={evidence.signed_by} label="key id" /></dd></div>
        </dl>
      )}
    </section>
  );
}

function Routes({ routes }: { routes: Route[] }) {
  if (routes.length === 0) return null;
  return (
    <section aria-labelledby="routes">
      <h2 id="routes">How it is got</h2>
      <ul class="rows">
        {routes.map((route, index) => (
          <li key={index} class="row">
            <div class="row-main">
              <strong>{route.kind} <code>{route.package}</code> {route.version}</strong>
              <span class="muted">
                {route.locked ? `${route.files} files, ${bytes(route.size_bytes)}, vouched for by ${route.signer}` : route.why}
                {route.origin && ` · built by ${route.origin}`}
              </span>
            </div>
            <Chip word={route.locked ? { text: "Locked", tone: "good" } : { text: "Not locked", tone: "quiet" }} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function About({ data }: { data: System }) {
  const { answers } = data;
  return (
    <section class="card" aria-labelledby="about">
      <h2 id="about">Its place in the stack</h2>
      <Facts
        facts={{
          role: data.role,
          why: data.reason,
          "who did this before": answers.owner,
          adopted_as: answers.adoption,
          what_can_go_wrong: answers.failure_modes,
          the_way_back: answers.rollback,
          provides: data.provides,
          consumes: data.consumes,
          licence: data.licence,
        }}
      />
      <p class="row-actions">
        {data.upstream && <a href={data.upstream} rel="noreferrer">Upstream</a>}
        {data.docs && <a href={data.docs} rel="noreferrer">Documentation</a>}
      </p>
    </section>
  );
}

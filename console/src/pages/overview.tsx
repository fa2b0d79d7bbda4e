/** What runs on this machine: true names, versions, health, ports, memory, and why something waits. */
import type { ComponentStatus, Status } from "../api.ts";
import { restart, status } from "../client.ts";
import { LogViewer } from "../parts/log-viewer.tsx";
import { Chip } from "../parts/chip.tsx";
import { ConfirmButton } from "../parts/dialog.tsx";
import { ErrorNotice, Notice } from "../parts/notice.tsx";
import { Page } from "../parts/page.tsx";
import { Loading } from "../parts/waiting.tsx";
import { bytes, plural, seconds } from "../format.ts";
import { useResource } from "../resource.ts";
import { say } from "../toast.ts";
import { COMPONENT_STATES, wordFor } from "../words.ts";
import { Settings } from "./settings.tsx";

export function OverviewPage() {
  const { data, error, reload } = useResource(status, "status", 3000);
  return (
    <Page title="Overview" lead="Every system Ripple runs here, by its own name.">
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="what runs" />}
      {data && <Summary status={data} />}
      {data && (
        <ul class="components">
          {data.components.map((one) => <Component key={one.id} component={one} reload={reload} />)}
        </ul>
      )}
      <Settings />
    </Page>
  );
}

function Summary({ status }: { status: Status }) {
  const healthy = status.components.filter((one) => one.state === "ready").length;
  const memory = status.components.reduce((sum, one) => sum + (one.rss_bytes ?? 0), 0);
  return (
    <>
      <dl class="tiles">
        <div><dt>State</dt><dd class={status.ready ? "good" : "warn"}>{status.ready ? "Ready" : "Not ready"}</dd></div>
        <div><dt>Healthy</dt><dd>{healthy} of {status.components.length}</dd></div>
        <div><dt>Memory</dt><dd>{bytes(memory)}</dd></div>
        <div><dt>Profile</dt><dd>{status.profile}</dd></div>
      </dl>
      {!status.ready && <WhyNot components={status.components} />}
    </>
  );
}

function WhyNot({ components }: { components: ComponentStatus[] }) {
  const down = components.filter((one) => one.state !== "ready");
  return (
    <Notice tone="warn" title={`${plural(down.length, "system")} not healthy yet`}>
      <p>{down.map((one) => one.name).join(", ")}. The reason stands beside each; its log says more.</p>
    </Notice>
  );
}

function Component({ component, reload }: { component: ComponentStatus; reload: () => Promise<void> }) {
  const { id, name, version } = component;
  return (
    <li class="card component">
      <div class="component-head">
        <h2>{name} <span class="version">{version}</span></h2>
        <Chip word={wordFor(COMPONENT_STATES, component.state)} />
      </div>
      <p class="component-id"><code>{id}</code></p>
      {component.reason && <p class="reason">{component.reason}</p>}
      {component.waiting_for.length > 0 && <p class="reason">Waits for {component.waiting_for.join(", ")}.</p>}
      <Numbers component={component} />
      <Endpoints endpoints={component.endpoints} />
      <div class="row-actions">
        <LogViewer id={id} name={name} />
        <ConfirmButton
          label="Restart"
          kind="quiet"
          describe={`Restart ${name}`}
          title={`Restart ${name}?`}
          confirm={`Restart ${name}`}
          action={async () => {
            await restart(id);
            say(`${name} is restarting.`);
            await reload();
          }}
        >
          <p>{name} is stopped and started again. What depends on it waits meanwhile; running changes go on where they were.</p>
        </ConfirmButton>
      </div>
    </li>
  );
}

function Numbers({ component }: { component: ComponentStatus }) {
  return (
    <dl class="inline-facts">
      {component.rss_bytes !== null && <div><dt>Memory</dt><dd>{bytes(component.rss_bytes)}</dd></div>}
      {component.ready_seconds !== null && <div><dt>Ready in</dt><dd>{seconds(component.ready_seconds)}</dd></div>}
      {component.pid !== null && <div><dt>Process</dt><dd>{component.pid}</dd></div>}
      {component.restarts > 0 && <div><dt>Restarts</dt><dd>{component.restarts}</dd></div>}
    </dl>
  );
}

function Endpoints({ endpoints }: { endpoints: Record<string, string> }) {
  const entries = Object.entries(endpoints);
  if (entries.length === 0) return null;
  return (
    <ul class="endpoints">
      {entries.map(([name, address]) => (
        <li key={name}>
          <span>{name}</span>
          {/^https?:\/\//.test(address) ? <a href={address} rel="noreferrer">{address}</a> : <code>{address}</code>}
        </li>
      ))}
    </ul>
  );
}

/** Every setting of this instance and which source won. Reading only: a setting is chosen when Ripple starts. */
import type { Setting } from "../api.ts";
import { settings } from "../client.ts";
import { ErrorNotice } from "../parts/notice.tsx";
import { Loading } from "../parts/waiting.tsx";
import { useResource } from "../resource.ts";

export function Settings() {
  const { data, error, reload } = useResource(settings, "settings");
  return (
    <section aria-labelledby="settings-title">
      <h2 id="settings-title">Settings</h2>
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="the settings" />}
      {data && (
        <div class="card table-scroll" tabIndex={0} role="region" aria-labelledby="settings-title">
          <table class="data">
            <thead><tr><th scope="col">Setting</th><th scope="col">Value</th><th scope="col">From</th></tr></thead>
            <tbody>{data.settings.map((one) => <Row key={one.key} setting={one} />)}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ setting }: { setting: Setting }) {
  const { key, value, source } = setting;
  const shown = value === null ? "" : typeof value === "string" ? value : JSON.stringify(value);
  return <tr><th scope="row"><code>{key}</code></th><td class="wrap">{shown || <span class="muted">not set</span>}</td><td>{source}</td></tr>;
}

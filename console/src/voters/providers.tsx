/** Providers: OpenAI-compatible endpoints and command lines that answer as a model. */
import { useState } from "preact/hooks";
import type { Provider, ProviderTest } from "../api.ts";
import { removeProvider, testProvider } from "../client.ts";
import { seconds } from "../format.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { ConfirmButton, Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icon.tsx";
import { Empty, Notice } from "../parts/notice.tsx";
import { say } from "../toast.ts";
import { ProviderForm } from "./provider-form.tsx";

export function ProviderList({ providers, reload }: { providers: Provider[]; reload: () => Promise<void> }) {
  if (providers.length === 0) {
    return (
      <Empty title="No provider yet">
        <p>The models on this machine are small and often wrong. A capable provider makes most changes possible: any OpenAI-compatible endpoint will do.</p>
      </Empty>
    );
  }
  return <ul class="cards">{providers.map((one) => <ProviderCard key={one.name} provider={one} reload={reload} />)}</ul>;
}

function ProviderCard({ provider, reload }: { provider: Provider; reload: () => Promise<void> }) {
  const [result, setResult] = useState<ProviderTest | null>(null);
  const { name } = provider;
  return (
    <li class="card">
      <div class="card-head"><h3>{name}</h3><span class="tag">{provider.tier}</span></div>
      <dl class="inline-facts">
        <div><dt>Model</dt><dd>{provider.model}</dd></div>
        <div><dt>Weight</dt><dd>{provider.weight}</dd></div>
        <div><dt>Lineage</dt><dd>{provider.lineage}</dd></div>
        <div><dt>Through</dt><dd>{provider.adapter}</dd></div>
      </dl>
      {provider.base_url && <p class="muted wrap"><code>{provider.base_url}</code></p>}
      {result && <TestResult result={result} />}
      <div class="row-actions">
        <ActionButton action={async () => { setResult(null); setResult(await testProvider(name)); }} label={`Test ${name}`}>Test</ActionButton>
        <ConfirmButton
          label="Remove"
          kind="quiet"
          describe={`Remove ${name}`}
          title={`Remove ${name}?`}
          confirm="Remove it"
          action={async () => { await removeProvider(name); say(`${name} is removed.`); await reload(); }}
        >
          <p>Ripple forgets {name} and its key. Changes that ran keep what it answered; later ones are made without its vote.</p>
        </ConfirmButton>
      </div>
    </li>
  );
}

function TestResult({ result }: { result: ProviderTest }) {
  if (!result.ok) return <Notice tone="bad" title="It did not answer well"><p>{result.reason}</p></Notice>;
  return (
    <Notice tone="good" title={`Answered in ${seconds(result.latency_seconds)}`}>
      <p class="quote">{result.reply}</p>
    </Notice>
  );
}

export function AddProvider({ added }: { added: () => Promise<void> }) {
  const [open, setOpen] = useState(false);
  const close = () => setOpen(false);
  return (
    <>
      <button type="button" class="button primary" onClick={() => setOpen(true)}><Icon name="plus" /> Add a provider</button>
      {open && (
        <Dialog title="Add a provider" close={close}>
          <ProviderForm close={close} added={added} />
        </Dialog>
      )}
    </>
  );
}

/** The form for a provider. The key goes to the API once and is never shown again. */
import { useState } from "preact/hooks";
import type { NewProvider, Tier } from "../api.ts";
import { addProvider } from "../client.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { ErrorNotice } from "../parts/notice.tsx";
import { say } from "../toast.ts";

/** As in manifests/models.yaml. Only an endpoint of one's own has to say where it is. */
const ADAPTERS: { adapter: string; text: string }[] = [
  { adapter: "openai", text: "OpenAI-compatible endpoint" },
  { adapter: "openrouter", text: "OpenRouter" },
  { adapter: "claude-code", text: "Claude Code on this machine" },
  { adapter: "codex", text: "Codex on this machine" },
  { adapter: "github-copilot", text: "GitHub Copilot on this machine" },
  { adapter: "abacus", text: "Abacus AI on this machine" },
];

interface Fields {
  name: string;
  adapter: string;
  tier: Tier;
  base_url: string;
  model: string;
  weight: string;
  lineage: string;
  key: string;
}

const EMPTY: Fields = { name: "", adapter: "openai", tier: "cloud", base_url: "", model: "", weight: "1", lineage: "", key: "" };

export function ProviderForm({ close, added }: { close: () => void; added: () => Promise<void> }) {
  const [fields, setFields] = useState(EMPTY);
  const [error, setError] = useState<Error | null>(null);
  const set = (name: keyof Fields) => (value: string) => setFields((before) => ({ ...before, [name]: value }));
  const endpoint = fields.adapter === "openai";
  const add = async () => {
    setError(null);
    await addProvider(asProvider(fields));
    say(`${fields.name} is added. Test it to see whether it answers.`);
    close();
    await added();
  };
  return (
    <>
      <div class="dialog-body form-grid">
        <Text label="Name" hint="Lower-case letters, digits, dots and dashes" value={fields.name} set={set("name")} />
        <Select label="Reached through" value={fields.adapter} set={set("adapter")} options={ADAPTERS.map((one) => [one.adapter, one.text])} />
        {endpoint && <Text label="Base URL" hint="For example https://api.example.com/v1" value={fields.base_url} set={set("base_url")} wide />}
        <Text label="Model" hint="As the provider calls it" value={fields.model} set={set("model")} />
        <Select label="Tier" value={fields.tier} set={set("tier")} options={[["cloud", "Cloud: leaves this machine"], ["local", "Local: stays on this machine"]]} />
        <Text label="Weight of its vote" type="number" value={fields.weight} set={set("weight")} />
        <Text label="Lineage" hint="Optional: models of one lineage share a weight" value={fields.lineage} set={set("lineage")} />
        <Text label="API key" hint={`${endpoint ? "" : "Not needed where its command line is signed in. "}Kept in a file only you can read; never shown again`} type="password" value={fields.key} set={set("key")} wide />
      </div>
      {fields.tier === "cloud" && <p class="muted">A cloud provider is sent your words and the files that a change is about.</p>}
      {error && <ErrorNotice error={error} />}
      <div class="dialog-actions">
        <button type="button" class="button plain" onClick={close}>Do not add</button>
        <ActionButton kind="primary" action={add} onError={setError} disabled={!complete(fields)}>Add the provider</ActionButton>
      </div>
    </>
  );
}

function complete(fields: Fields): boolean {
  return Boolean(fields.name && fields.model && Number(fields.weight) > 0 && (fields.adapter !== "openai" || fields.base_url));
}

function asProvider(fields: Fields): NewProvider {
  const { name, adapter, tier, model } = fields;
  const provider: NewProvider = { name, adapter, tier, model, weight: Number(fields.weight) };
  if (adapter === "openai") provider.base_url = fields.base_url.trim();
  if (fields.key) provider.key = fields.key;
  if (fields.lineage) provider.lineage = fields.lineage.trim();
  return provider;
}

interface TextProps {
  label: string;
  value: string;
  set: (value: string) => void;
  hint?: string;
  type?: "text" | "password" | "number";
  wide?: boolean;
}

function Text({ label, value, set, hint, type = "text", wide = false }: TextProps) {
  return (
    <label class={`field ${wide ? "whole" : ""}`}>
      <span>{label}</span>
      <input
        // Preact types each kind of input apart; the three kinds here share every attribute used.
        type={type as "text"}
        value={value}
        min={type === "number" ? 0.1 : undefined}
        step={type === "number" ? 0.1 : undefined}
        autocomplete={type === "password" ? "new-password" : "off"}
        spellcheck={false}
        onInput={(event) => set(event.currentTarget.value)}
      />
      {hint && <small>{hint}</small>}
    </label>
  );
}

function Select({ label, value, set, options }: { label: string; value: string; set: (value: string) => void; options: [string, string][] }) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => set(event.currentTarget.value)}>
        {options.map(([option, text]) => <option key={option} value={option}>{text}</option>)}
      </select>
    </label>
  );
}

/** Local models by set: installed ones, and sets that can be added. */
import type { Model } from "../api.ts";
import { addModels } from "../client.ts";
import { bytes } from "../format.ts";
import { Chip } from "../parts/chip.tsx";
import { ConfirmButton } from "../parts/dialog.tsx";
import { Notice } from "../parts/notice.tsx";
import { say } from "../toast.ts";
import { type Word, wordFor } from "../words.ts";

const STATES: Record<Model["state"], Word> = {
  installed: { text: "Installed", tone: "good" },
  available: { text: "Can be added", tone: "quiet" },
  downloading: { text: "Being fetched", tone: "busy" },
  failed: { text: "Failed", tone: "bad" },
};

export function ModelList({ models, reload }: { models: Model[]; reload: () => Promise<void> }) {
  const sets = [...new Set(models.map((one) => one.set))];
  return (
    <>
      {sets.map((set) => (
        <ModelSet key={set} set={set} models={models.filter((one) => one.set === set)} reload={reload} />
      ))}
    </>
  );
}

function ModelSet({ set, models, reload }: { set: string; models: Model[]; reload: () => Promise<void> }) {
  const missing = models.filter((one) => one.state === "available" || one.state === "failed");
  const folded = models.length > 1 && models.every((one) => one.state === "available");
  const rows = <ul class="rows">{models.map((one) => <ModelRow key={one.name} model={one} />)}</ul>;
  return (
    <div class="card">
      <div class="card-head">
        <div>
          <h3>The {set} set</h3>
          {folded && <details><summary class="more">{models.length} models that can be added</summary>{rows}</details>}
        </div>
        {missing.length > 0 && <AddSet set={set} models={missing} reload={reload} />}
      </div>
      {!folded && rows}
    </div>
  );
}

function ModelRow({ model }: { model: Model }) {
  return (
    <li class="row">
      <div class="row-main">
        <strong>{model.name}</strong>
        <span class="muted">lineage {model.lineage}{model.size_bytes !== null && ` · ${bytes(model.size_bytes)}`} · licence {model.licence || "not known"}</span>
        {model.reason && <span class="reason">{model.reason}</span>}
      </div>
      <Chip word={wordFor(STATES, model.state)} />
    </li>
  );
}

function AddSet({ set, models, reload }: { set: string; models: Model[]; reload: () => Promise<void> }) {
  const size = models.reduce((sum, one) => sum + (one.size_bytes ?? 0), 0);
  const add = async () => {
    await addModels(set);
    say(`The ${set} set is being fetched; this page shows how far it is.`);
    await reload();
  };
  return (
    <ConfirmButton label="Add this set" describe={`Add this set: ${set}`} kind="plain" title={`Add the ${set} set?`} confirm="Fetch and use them" action={add}>
      <p>{models.length === 1 ? "One model is" : `${models.length} models are`} fetched{size > 0 ? ` (${bytes(size)})` : ""} and started beside the others. They need memory of about their size.</p>
      <Notice tone="warn" title="Check licence and origin first">
        <p>Ripple locks each file by its hash, but does not vouch for where it comes from. Whether you may use it is yours to judge:</p>
        <ul class="reasons">
          {models.map((one) => <li key={one.name}><strong>{one.name}</strong>: licence {one.licence || "not known"}.{one.reason ? ` ${one.reason}` : ""}</li>)}
        </ul>
      </Notice>
    </ConfirmButton>
  );
}

/** Choosing an inference policy: who would vote under each, and why one is not possible now. */
import type { InferencePolicy, Policies, Voter } from "../api.ts";
import { plural } from "../format.ts";
import { href } from "../router.ts";
import { Chip } from "./chip.tsx";
import { Reasons } from "./notice.tsx";

interface PickerProps {
  policies: Policies;
  chosen: string;
  choose: (name: string) => void;
}

export function PolicyPicker({ policies, chosen, choose }: PickerProps) {
  const none = policies.policies.every((one) => !one.allowed);
  return (
    <fieldset class="field">
      <legend>Who votes?</legend>
      {none && <p class="reason">No policy can be used now: too few models are present. <a href={href("models")}>Add models or a provider</a>.</p>}
      <div class="options">
        {policies.policies.map((policy) => (
          <label key={policy.name} class={`option policy ${policy.allowed ? "" : "refused"}`}>
            <input
              type="radio"
              name="policy"
              value={policy.name}
              checked={chosen === policy.name}
              disabled={!policy.allowed}
              onChange={() => choose(policy.name)}
            />
            <PolicyText policy={policy} usual={policies.default === policy.name} />
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function PolicyText({ policy, usual }: { policy: InferencePolicy; usual: boolean }) {
  const present = policy.voters.filter((one) => one.present);
  return (
    <span class="policy-text">
      <span class="policy-head">
        <strong>{policy.name}</strong>
        {usual && <span class="tag">default</span>}
        {!policy.allowed && <Chip word={{ text: "Not possible now", tone: "warn" }} />}
      </span>
      <small>
        Wants {plural(policy.local_min, "local answer")} and {plural(policy.cloud_min, "cloud answer")}; {plural(present.length, "model")} would vote.
      </small>
      <Reasons reasons={policy.allowed ? [] : policy.reasons} />
      <span class="voters">
        {policy.voters.map((voter) => <VoterTag key={voter.name} voter={voter} />)}
      </span>
    </span>
  );
}

function VoterTag({ voter }: { voter: Voter }) {
  const why = voter.present ? `${voter.tier}, lineage ${voter.lineage}` : voter.reason || "not present";
  return (
    <span class={`voter ${voter.present ? "" : "missing"}`} title={why}>
      <span class="voter-name">{voter.name}</span>
      <span class="muted">{voter.tier} · weight {voter.weight}{voter.present ? "" : ` · ${voter.reason || "not present"}`}</span>
    </span>
  );
}

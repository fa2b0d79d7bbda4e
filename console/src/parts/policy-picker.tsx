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

/** Policy allows it and enough voters are here. */
export function isPossible(policy: InferencePolicy): boolean {
  return policy.allowed && policy.reasons.length === 0;
}

export function PolicyPicker({ policies, chosen, choose }: PickerProps) {
  const none = !policies.policies.some(isPossible);
  return (
    <fieldset class="field">
      <legend>Who votes?</legend>
      {none && <p class="reason">No policy can be used now: too few models are present. <a href={href("models")}>Add models or a provider</a>.</p>}
      <div class="options">
        {policies.policies.map((policy) => (
          <label key={policy.name} class={`option policy ${isPossible(policy) ? "" : "refused"}`}>
            <input
              type="radio"
              name="policy"
              value={policy.name}
              checked={chosen === policy.name}
              disabled={!isPossible(policy)}
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
  const voting = policy.voters.filter((one) => one.present && !one.reason);
  const others = policy.voters.filter((one) => !voting.includes(one));
  return (
    <span class="policy-text">
      <span class="policy-head">
        <strong>{policy.name}</strong>
        {usual && <span class="tag">default</span>}
        {!isPossible(policy) && <Chip word={{ text: "Not possible now", tone: "warn" }} />}
      </span>
      <small>
        Wants {plural(policy.local_min, "local answer")} and {plural(policy.cloud_min, "cloud answer")}; {plural(voting.length, "model")} would vote.
      </small>
      <Reasons reasons={policy.reasons} />
      <span class="voters">{voting.map((voter) => <VoterTag key={voter.name} voter={voter} />)}</span>
      {others.length > 0 && (
        <details class="others">
          <summary class="more">{plural(others.length, "more model")} could vote</summary>
          <span class="voters">{others.map((voter) => <VoterTag key={voter.name} voter={voter} />)}</span>
        </details>
      )}
    </span>
  );
}

function VoterTag({ voter }: { voter: Voter }) {
  const why = voter.reason || (voter.present ? "" : "not present");
  return (
    <span class={`voter ${voter.present ? "" : "missing"}`} title={why || `lineage ${voter.lineage}`}>
      <span class="voter-name">{voter.name}</span>
      <span class="muted">{voter.tier} · weight {voter.weight}{why && ` · ${why}`}</span>
    </span>
  );
}

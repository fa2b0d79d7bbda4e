/** Asking for a change: for which application, what, and which models may vote. */
import { useEffect, useState } from "preact/hooks";
import type { Application, ChangeKind, Policies } from "../api.ts";
import { type Ask, applications, ask, policies } from "../client.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { Empty, ErrorNotice, Reasons } from "../parts/notice.tsx";
import { Page } from "../parts/page.tsx";
import { PolicyPicker, isPossible } from "../parts/policy-picker.tsx";
import { Loading } from "../parts/waiting.tsx";
import { useResource } from "../resource.ts";
import { go, href } from "../router.ts";

const LONGEST = 8000;

const EXAMPLES = [
  "A basket worth exactly the free-shipping threshold must ship free, as the README says.",
  "Round the total half up to whole cents instead of cutting it off, and test it.",
  "Let a customer order more of one item: raise the limit in the configuration to 50.",
];

const KINDS: { kind: ChangeKind | ""; text: string; explains: string }[] = [
  { kind: "", text: "Decide for me", explains: "from your words" },
  { kind: "code", text: "Code", explains: "source and its tests" },
  { kind: "config", text: "Configuration", explains: "values, checked against their schemas" },
];

export function AskPage({ application, intent }: { application: string; intent: string }) {
  const known = useResource(applications, "applications");
  const choices = useResource(policies, "policies");
  const failed = known.error ?? choices.error;
  const retry = () => void Promise.all([known.reload(), choices.reload()]);
  return (
    <Page title="Ask for a change" lead="Say it in your own words. Models propose, tests and policy decide, and you see every step.">
      {failed && <ErrorNotice error={failed} retry={retry} />}
      {!failed && (!known.data || !choices.data) && <Loading what="what can be changed" />}
      {known.data?.applications.length === 0 && (
        <Empty title="There is no application to change yet">
          <p><a class="button primary" href={href("applications")}>Add an application</a></p>
        </Empty>
      )}
      {known.data && known.data.applications.length > 0 && choices.data && (
        <AskForm applications={known.data.applications} policies={choices.data} application={application} intent={intent} />
      )}
    </Page>
  );
}

interface FormProps {
  applications: Application[];
  policies: Policies;
  application: string;
  intent: string;
}

function AskForm({ applications: all, policies: offered, application, intent }: FormProps) {
  const [chosen, setChosen] = useState(application || (all[0]?.name ?? ""));
  const [text, setText] = useState(intent);
  const [policy, setPolicy] = useState(() => firstAllowed(offered));
  const [kind, setKind] = useState<ChangeKind | "">("");
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => setError(null), [chosen, text, policy, kind]);
  const target = all.find((one) => one.name === chosen);
  const missing = whatIsMissing(target, text, policy);
  const submit = async () => {
    const change: Ask = { application: chosen, intent: text.trim(), policy };
    if (kind) change.kind = kind;
    go(href(`changes/${(await ask(change)).id}`));
  };
  return (
    <form class="ask-form" onSubmit={(event) => event.preventDefault()}>
      <label class="field">
        <span>Application</span>
        <select value={chosen} onChange={(event) => setChosen(event.currentTarget.value)}>
          {all.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
        </select>
      </label>
      {target?.state === "failed" && <Reasons reasons={target.reasons} />}
      <IntentField text={text} setText={setText} />
      <KindChoice kind={kind} setKind={setKind} />
      <PolicyPicker policies={offered} chosen={policy} choose={setPolicy} />
      {error && <ErrorNotice error={error} title="The change was not taken" />}
      <div class="form-actions">
        <ActionButton kind="primary" action={submit} onError={setError} disabled={missing !== ""}>Ask for this change</ActionButton>
        {missing && <p class="muted">{missing}</p>}
      </div>
    </form>
  );
}

function IntentField({ text, setText }: { text: string; setText: (text: string) => void }) {
  return (
    <div class="field">
      <label for="intent">What should change?</label>
      <textarea
        id="intent"
        rows={3}
        maxLength={LONGEST}
        value={text}
        aria-describedby="intent-hint"
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <small id="intent-hint">
        Name what you see now, what you want instead, and how one would notice. {text.length > LONGEST / 2 && `${text.length} of ${LONGEST} characters.`}
      </small>
      <div class="examples">
        <span class="muted">For example</span>
        {EXAMPLES.map((example) => (
          <button key={example} type="button" class="example" onClick={() => setText(example)}>{example}</button>
        ))}
      </div>
    </div>
  );
}

function KindChoice({ kind, setKind }: { kind: ChangeKind | ""; setKind: (kind: ChangeKind | "") => void }) {
  return (
    <fieldset class="field">
      <legend>What kind of change?</legend>
      <div class="options three">
        {KINDS.map((one) => (
          <label key={one.kind} class="option">
            <input type="radio" name="kind" checked={kind === one.kind} onChange={() => setKind(one.kind)} />
            <span><strong>{one.text}</strong><small>{one.explains}</small></span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function firstAllowed(offered: Policies): string {
  const usual = offered.policies.find((one) => one.name === offered.default && isPossible(one));
  return usual?.name ?? "";
}

function whatIsMissing(target: Application | undefined, text: string, policy: string): string {
  if (target?.state === "adopting") return `${target.name} is still being adopted; wait until it is ready.`;
  if (target?.state === "failed") return `${target.name} could not be adopted; see Applications.`;
  if (!text.trim()) return "Say what should change.";
  if (!policy) return "Choose who votes.";
  return "";
}

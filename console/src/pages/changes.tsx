/** All changes, newest first. */
import { useState } from "preact/hooks";
import type { ChangeState, ChangeSummary } from "../api.ts";
import { changes } from "../client.ts";
import { Chip } from "../parts/chip.tsx";
import { Icon } from "../parts/icon.tsx";
import { Empty, ErrorNotice } from "../parts/notice.tsx";
import { Page } from "../parts/page.tsx";
import { Loading } from "../parts/waiting.tsx";
import { When } from "../parts/when.tsx";
import { useResource } from "../resource.ts";
import { href } from "../router.ts";
import { CHANGE_STATES, stepTitle, wordFor } from "../words.ts";

const STATES: ChangeState[] = ["running", "promoted", "rejected", "rolled_back", "cancelled"];

export function ChangesPage({ application }: { application: string }) {
  const { data, error, reload } = useResource(changes, "changes", 3000);
  const [state, setState] = useState<ChangeState | "">("");
  const [words, setWords] = useState(application);
  const all = data?.changes ?? [];
  const shown = all.filter((one) => (!state || one.state === state) && matches(one, words));
  const ask = <a class="button primary" href={href("ask", { application })}><Icon name="plus" /> Ask for a change</a>;
  return (
    <Page title="Changes" lead="Everything that was asked for, and how it ended." actions={ask}>
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="the changes" />}
      {data && all.length === 0 && <Empty title="Nothing was asked for yet"><p>Your first change is one sentence away.</p>{ask}</Empty>}
      {all.length > 0 && (
        <>
          <div class="filters">
            <input
              type="search"
              aria-label="Filter by words, application or id"
              placeholder="Filter by words, application or id"
              value={words}
              onInput={(event) => setWords(event.currentTarget.value)}
            />
            <StateFilter all={all} state={state} setState={setState} />
          </div>
          <ul class="change-list">{shown.map((one) => <ChangeRow key={one.id} change={one} />)}</ul>
          {shown.length === 0 && <p class="muted">No change fits this filter.</p>}
        </>
      )}
    </Page>
  );
}

interface FilterProps {
  all: ChangeSummary[];
  state: ChangeState | "";
  setState: (state: ChangeState | "") => void;
}

function StateFilter({ all, state, setState }: FilterProps) {
  const present = STATES.filter((one) => one === state || all.some((change) => change.state === one));
  return (
    <div class="toggles" role="group" aria-label="Filter by state">
      <button type="button" aria-pressed={state === ""} onClick={() => setState("")}>All {all.length}</button>
      {present.map((one) => (
        <button key={one} type="button" aria-pressed={state === one} onClick={() => setState(one)}>
          {CHANGE_STATES[one].text} {all.filter((change) => change.state === one).length}
        </button>
      ))}
    </div>
  );
}

function ChangeRow({ change }: { change: ChangeSummary }) {
  const why = change.state === "running" ? change.step && stepTitle(change.step) : change.reasons[0];
  return (
    <li>
      <a class="change-row" href={href(`changes/${change.id}`)}>
        <Chip word={wordFor(CHANGE_STATES, change.state)} />
        <span class="change-words">
          <strong>{change.intent}</strong>
          {why && <span class="muted one-line">{why}</span>}
        </span>
        <span class="change-meta">
          <span>{change.application}</span>
          <span class="muted"><When at={change.created_at} /></span>
        </span>
      </a>
    </li>
  );
}

function matches(change: ChangeSummary, words: string): boolean {
  const text = `${change.id} ${change.application} ${change.intent} ${change.principal} ${change.policy}`.toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

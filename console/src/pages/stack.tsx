/** The map: every system by layer, what is proven of it, who has which role, and what drifts. */
import { useState } from "preact/hooks";
import { stack } from "../client.ts";
import { plural } from "../format.ts";
import { Empty, ErrorNotice } from "../parts/notice.tsx";
import { Page } from "../parts/page.tsx";
import { Loading } from "../parts/waiting.tsx";
import { useResource } from "../resource.ts";
import { href } from "../router.ts";
import { DriftList } from "../stack/drift-list.tsx";
import { EVERYTHING, ORDER, OUTCOMES, STATUSES, type Wanted, chosen } from "../stack/filter.ts";
import { Phases } from "../stack/phases.tsx";
import { Bar, Picture } from "../stack/picture.tsx";
import type { Role, Stack } from "../stack/types.ts";
import { UnprovenList } from "../stack/unproven-list.tsx";

export function StackPage() {
  const { data, error, reload } = useResource(stack, "stack", 15_000);
  return (
    <Page title="Stack" lead="Every system of the map by its layer. A colour comes from a signed proof, never from a word in a file.">
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="the map" />}
      {data && <Shown data={data} reload={reload} />}
    </Page>
  );
}

function Shown({ data, reload }: { data: Stack; reload: () => Promise<void> }) {
  const [wanted, setWanted] = useState<Wanted>(EVERYTHING);
  const layers = chosen(data.layers, wanted);
  const cards = data.layers.flatMap((layer) => layer.systems);
  const shown = layers.reduce((sum, layer) => sum + layer.systems.length, 0);
  return (
    <>
      <Bar counts={data.counts} />
      <Filters wanted={wanted} choose={setWanted} />
      <p class="muted" role="status">{shown === cards.length ? plural(shown, "system") : `${shown} of ${plural(cards.length, "system")}`}</p>
      {layers.length === 0 ? <Empty title="No system is like that"><p>Ask for less above.</p></Empty> : <Picture layers={layers} />}
      <DriftList drift={data.drift} notCompared={data.not_compared} cards={cards} reload={reload} />
      <UnprovenList cards={cards} reload={reload} />
      <Phases />
      <Roles roles={data.roles} />
    </>
  );
}

function Filters({ wanted, choose }: { wanted: Wanted; choose: (wanted: Wanted) => void }) {
  return (
    <div class="filters">
      <input
        type="search"
        aria-label="Filter the systems"
        placeholder="Filter: name, role, purpose"
        value={wanted.words}
        onInput={(event) => choose({ ...wanted, words: event.currentTarget.value })}
      />
      <Choice label="Status" all="Every status" value={wanted.status} options={STATUSES.map((one) => [one, one])} choose={(status) => choose({ ...wanted, status })} />
      <Choice label="Proof" all="Every outcome" value={wanted.outcome} options={ORDER.map((one) => [one, OUTCOMES[one].text])} choose={(outcome) => choose({ ...wanted, outcome })} />
      <label class="check">
        <input type="checkbox" checked={wanted.drifted} onChange={(event) => choose({ ...wanted, drifted: event.currentTarget.checked })} />
        Only what drifts
      </label>
      <label class="check">
        <input type="checkbox" checked={wanted.unlocked} onChange={(event) => choose({ ...wanted, unlocked: event.currentTarget.checked })} />
        Only what is not locked
      </label>
    </div>
  );
}

interface ChoiceProps {
  label: string;
  all: string;
  value: string;
  options: string[][];
  choose: (value: string) => void;
}

function Choice({ label, all, value, options, choose }: ChoiceProps) {
  return (
    <select aria-label={label} value={value} onChange={(event) => choose(event.currentTarget.value)}>
      <option value="">{all}</option>
      {options.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
    </select>
  );
}

function Roles({ roles }: { roles: Role[] }) {
  return (
    <section aria-labelledby="roles">
      <h2 id="roles">Who does what</h2>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Roles">
        <table>
          <thead><tr><th>Role</th><th>Default</th><th>Others</th></tr></thead>
          <tbody>
            {roles.map((role) => (
              <tr key={role.id}>
                <td><strong>{role.meaning}</strong><br /><code>{role.id}</code></td>
                <td>{role.default ? <Named id={role.default} /> : <span class="muted">nobody yet</span>}</td>
                <td>{role.others.map((id) => <span key={id}><Named id={id} /> </span>)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Named({ id }: { id: string }) {
  return <a href={href(`stack/${encodeURIComponent(id)}`)}>{id}</a>;
}

/** The append-only log of what was asked, decided and done, and the proof that nothing in it was altered. */
import { useEffect, useState } from "preact/hooks";
import type { AuditEntry, AuditVerdict } from "../api.ts";
import { audit, nodeKey, verifyAudit } from "../client.ts";
import { plural } from "../format.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { CopyText } from "../parts/copy-text.tsx";
import { Facts } from "../parts/facts.tsx";
import { Empty, ErrorNotice, Notice } from "../parts/notice.tsx";
import { Page } from "../parts/page.tsx";
import { Loading } from "../parts/waiting.tsx";
import { When } from "../parts/when.tsx";
import { useResource } from "../resource.ts";

export function AuditPage() {
  const [words, setWords] = useState("");
  const [asked, setAsked] = useState("");
  const { data, error, reload } = useResource(() => audit(asked), asked);
  useEffect(() => {
    const timer = setTimeout(() => setAsked(words.trim()), 300);
    return () => clearTimeout(timer);
  }, [words]);
  return (
    <Page title="Audit" lead="Each line carries the hash of the line before it. Altering one breaks every line after it.">
      <Chain head={data?.head ?? ""} />
      <div class="filters">
        <input
          type="search"
          aria-label="Filter the audit log"
          placeholder="Filter: who, action, resource, trace id"
          value={words}
          onInput={(event) => setWords(event.currentTarget.value)}
        />
        <button type="button" class="button plain" onClick={() => void reload()}>Show the newest</button>
      </div>
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="the log" />}
      {data && <Entries key={`${asked}/${data.entries[0]?.seq}`} first={data.entries} asked={asked} />}
    </Page>
  );
}

function Chain({ head }: { head: string }) {
  const [verdict, setVerdict] = useState<AuditVerdict | null>(null);
  const key = useResource(nodeKey, "key");
  return (
    <section class="card" aria-labelledby="chain">
      <div class="card-head">
        <h2 id="chain">The chain</h2>
        <ActionButton kind="primary" action={async () => { setVerdict(null); setVerdict(await verifyAudit()); }}>Verify every entry</ActionButton>
      </div>
      <dl class="inline-facts">
        <div><dt>Head hash</dt><dd>{head ? <CopyText text={head} label="head hash" /> : "–"}</dd></div>
        {key.data && <div><dt>Key of this node</dt><dd><CopyText text={key.data.key_id} label="key id" /></dd></div>}
      </dl>
      <div aria-live="polite">
        {verdict?.ok && (
          <Notice tone="good" title="The chain is whole">
            <p>{plural(verdict.entries, "entry", "entries")} verified. Head <code class="wrap">{verdict.head}</code></p>
          </Notice>
        )}
        {verdict && !verdict.ok && (
          <Notice tone="bad" title="The chain is broken">
            <p>{verdict.broken_at !== null && `From entry ${verdict.broken_at} on. `}{verdict.reason}</p>
            <p>Stop trusting entries from there on, keep a copy of the database, and compare it with a backup.</p>
          </Notice>
        )}
      </div>
    </section>
  );
}

function Entries({ first, asked }: { first: AuditEntry[]; asked: string }) {
  const [entries, setEntries] = useState(first);
  const [done, setDone] = useState(first.length === 0);
  if (entries.length === 0) return <Empty title="Nothing found"><p>No entry fits this filter.</p></Empty>;
  const more = async () => {
    const page = await audit(asked, entries.at(-1)?.seq);
    setEntries([...entries, ...page.entries]);
    setDone(page.entries.length === 0);
  };
  return (
    <>
      <ol class="audit" reversed>
        {entries.map((entry) => <Entry key={entry.seq} entry={entry} />)}
      </ol>
      {!done && entries.at(-1)?.seq !== 1 && <ActionButton action={more}>Show older entries</ActionButton>}
    </>
  );
}

function Entry({ entry }: { entry: AuditEntry }) {
  const { seq, at, principal, action, resource, outcome } = entry;
  const { decision_id, policy_revision, trace_id, data, previous, hash } = entry;
  const facts = { decision: decision_id, policy_revision, trace: trace_id, ...data, previous, hash };
  return (
    <li value={seq}>
      <details>
        <summary>
          <span class="audit-seq">{seq}</span>
          <span class="audit-what"><strong>{action}</strong> <span class="muted wrap">{resource}</span></span>
          <span class={`audit-outcome ${outcome === "denied" || outcome === "failed" ? "bad" : ""}`}>{outcome}</span>
          <span class="audit-who muted">{principal}</span>
          <span class="audit-when muted"><When at={at} /></span>
        </summary>
        <Facts facts={facts} />
      </details>
    </li>
  );
}

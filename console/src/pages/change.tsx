/** One change, live: what was asked, every step, the candidates, the vote, the gates, the environments. */
import type { Change } from "../api.ts";
import { ChangeActions } from "../change/actions.tsx";
import { Candidates } from "../change/candidates.tsx";
import { Environments } from "../change/environments.tsx";
import { Gates } from "../change/gates.tsx";
import { Connection, StepAnnouncer } from "../change/connection.tsx";
import { Timeline } from "../change/timeline.tsx";
import { Trace } from "../change/trace.tsx";
import { useChange } from "../change/use-change.ts";
import { Vote } from "../change/vote.tsx";
import { secondsBetween, seconds } from "../format.ts";
import { isTakenBack } from "../live-change.ts";
import { Chip } from "../parts/chip.tsx";
import { CopyText } from "../parts/copy-text.tsx";
import { ErrorNotice, Notice, Reasons } from "../parts/notice.tsx";
import { Page } from "../parts/page.tsx";
import { Loading } from "../parts/waiting.tsx";
import { When } from "../parts/when.tsx";
import { href } from "../router.ts";
import { CHANGE_STATES, TAKEN_BACK, wordFor } from "../words.ts";

export function ChangePage({ id }: { id: string }) {
  const { live, envelopes, feed, error, reload } = useChange(id);
  if (!live) {
    return (
      <Page title={`Change ${id}`}>
        {error ? <ErrorNotice error={error} retry={() => void reload()} /> : <Loading what="the change" />}
      </Page>
    );
  }
  const { change, samples } = live;
  return (
    <Page
      title={change.intent.length > 90 ? `${change.intent.slice(0, 88)}…` : change.intent}
      lead={<Facts change={change} />}
      actions={<ChangeActions change={change} reload={reload} />}
    >
      {change.intent.length > 90 && <p class="intent">{change.intent}</p>}
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      <Outcome change={change} />
      <Connection state={feed} running={change.state === "running"} />
      <StepAnnouncer change={change} />
      <div class="change">
        <Timeline change={change} />
        <div class="change-main">
          <Environments change={change} samples={samples} />
          <Vote change={change} />
          <Candidates change={change} />
          <Gates gates={change.gates} envelopes={envelopes} />
          <Trace id={change.trace_id} />
        </div>
      </div>
    </Page>
  );
}

function Facts({ change }: { change: Change }) {
  const took = change.ended_at ? secondsBetween(change.created_at, Date.parse(change.ended_at)) : null;
  return (
    <span class="change-facts">
      <Chip word={isTakenBack(change) ? TAKEN_BACK : wordFor(CHANGE_STATES, change.state)} />
      <span>{change.application}{change.kind && ` · ${change.kind}`}</span>
      <span>asked by {change.principal} <When at={change.created_at} /></span>
      <span>voted under {change.policy}</span>
      {took !== null && <span>took {seconds(took)}{change.ours_seconds !== null && `, Ripple's own time ${seconds(change.ours_seconds)}`}</span>}
      <span>trace <CopyText text={change.trace_id} label="trace id" /></span>
    </span>
  );
}

function Outcome({ change }: { change: Change }) {
  const again = <a href={href("ask", { application: change.application, intent: change.intent })}>Ask again with these words</a>;
  switch (change.state) {
    case "running":
      return null;
    case "promoted":
      if (isTakenBack(change)) {
        return <Notice tone="warn" title="This change was taken back"><p>It had reached production. Every environment runs what it ran before. {again}</p></Notice>;
      }
      return (
        <Notice tone="good" title="This change runs in production">
          <p>{change.commit ? <>Commit <CopyText text={change.commit} label="commit" /> as release <CopyText text={change.release ?? ""} label="release" />.</> : "Every environment runs it."}</p>
        </Notice>
      );
    case "rejected":
      return <Notice tone="bad" title="This change was rejected"><Reasons reasons={change.reasons} /><p>Nothing of it is deployed. {again}</p></Notice>;
    case "rolled_back":
      return <Notice tone="warn" title="This change was rolled back"><Reasons reasons={change.reasons} /><p>Every environment runs what it ran before. {again}</p></Notice>;
    default:
      return <Notice tone="quiet" title="This change was cancelled"><Reasons reasons={change.reasons} /><p>{again}</p></Notice>;
  }
}

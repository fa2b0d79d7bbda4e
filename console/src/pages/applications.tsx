/** The applications Ripple looks after: what release runs in which environment, and adding another. */
import { useState } from "preact/hooks";
import type { Application, ApplicationEnvironment } from "../api.ts";
import { addApplication, adoptAgain, applications } from "../client.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { Chip } from "../parts/chip.tsx";
import { CopyText } from "../parts/copy-text.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icon.tsx";
import { Empty, ErrorNotice, Notice, Reasons } from "../parts/notice.tsx";
import { Page } from "../parts/page.tsx";
import { Loading } from "../parts/waiting.tsx";
import { When } from "../parts/when.tsx";
import { useResource } from "../resource.ts";
import { href } from "../router.ts";
import { say } from "../toast.ts";
import type { Word } from "../words.ts";

/** The example is no repository of its own, so a copy of it becomes one. */
const EXAMPLE = { path: "examples/checkout", copy: true };
const NOTHING = { path: "", copy: false };

export function ApplicationsPage() {
  const { data, error, reload } = useResource(applications, "applications", 3000);
  const found = data?.applications ?? [];
  return (
    <Page
      title="Applications"
      lead="What runs where. A release moves from left to right and skips nothing."
      actions={<AddApplication label="Add an application" start={NOTHING} added={reload} />}
    >
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="the applications" />}
      {data && found.length === 0 && (
        <Empty title="No application yet">
          <p>Add a Git repository that has a <code>ripple.app.yaml</code>, or begin with the example that comes with Ripple: a small web shop.</p>
          <AddApplication label="Add a copy of the example" start={EXAMPLE} added={reload} />
        </Empty>
      )}
      {found.map((one) => <ApplicationCard key={one.name} application={one} reload={reload} />)}
    </Page>
  );
}

function ApplicationCard({ application, reload }: { application: Application; reload: () => Promise<void> }) {
  const { name, path, branch, head, state } = application;
  return (
    <section class="card" aria-labelledby={`app-${name}`}>
      <div class="card-head">
        <div>
          <h2 id={`app-${name}`}>{name}</h2>
          <p class="muted wrap"><code>{path}</code> on <code>{branch}</code>{head && <> at <CopyText text={head} label="commit" /></>}</p>
        </div>
        <div class="row-actions">
          <a class="button plain" href={href("changes", { application: name })}>Changes</a>
          {state === "ready" && <a class="button primary" href={href("ask", { application: name })}>Ask for a change</a>}
        </div>
      </div>
      {state === "adopting" && (
        <p class="loading" role="status">
          <span class="spinner" aria-hidden="true" /> Being adopted: its toolchain is installed and the first release is deployed.
        </p>
      )}
      {state === "failed" && <AdoptionFailed application={application} reload={reload} />}
      <ol class="pipeline">
        {application.environments.map((one) => <Place key={one.environment} place={one} />)}
      </ol>
    </section>
  );
}

function AdoptionFailed({ application, reload }: { application: Application; reload: () => Promise<void> }) {
  return (
    <Notice tone="bad" title="This application could not be adopted">
      <Reasons reasons={application.reasons} />
      <ActionButton action={async () => { await adoptAgain(application.name); await reload(); }}>Adopt again</ActionButton>
    </Notice>
  );
}

function Place({ place }: { place: ApplicationEnvironment }) {
  const { environment, stable, canary, url } = place;
  return (
    <li class={`place ${stable ? "" : "bare"}`}>
      <div class="place-head"><h3>{environment}</h3><Chip word={health(place)} /></div>
      {stable && (
        <p class="place-release">
          <CopyText text={stable.release} label="release" />
          <span class="muted">commit <code>{stable.commit.slice(0, 8)}</code>, <When at={stable.at} /></span>
        </p>
      )}
      {!stable && <p class="muted">Nothing is deployed here yet.</p>}
      {canary && <p class="place-canary">Canary <CopyText text={canary.release} label="release" /> takes {canary.weight} % of the traffic</p>}
      {stable && <a href={url} rel="noreferrer">Open {environment}<Icon name="out" /></a>}
    </li>
  );
}

function health(place: ApplicationEnvironment): Word {
  if (!place.stable) return { text: "Empty", tone: "quiet" };
  if (place.healthy === null) return { text: "Unknown", tone: "quiet" };
  return place.healthy ? { text: "Healthy", tone: "good" } : { text: "Not healthy", tone: "bad" };
}

interface AddProps {
  label: string;
  start: { path: string; copy: boolean };
  added: () => Promise<void>;
}

function AddApplication({ label, start, added }: AddProps) {
  const [open, setOpen] = useState(false);
  const [path, setPath] = useState(start.path);
  const [copy, setCopy] = useState(start.copy);
  const [error, setError] = useState<Error | null>(null);
  const close = () => setOpen(false);
  const add = async () => {
    setError(null);
    const application = await addApplication(path.trim(), copy);
    say(`${application.name} is added.`);
    close();
    await added();
  };
  return (
    <>
      <button type="button" class="button primary" onClick={() => setOpen(true)}><Icon name="plus" /> {label}</button>
      {open && (
        <Dialog title="Add an application" close={close}>
          <div class="dialog-body">
            <label class="field">
              <span>Folder of its Git repository on this machine</span>
              <input value={path} onInput={(event) => setPath(event.currentTarget.value)} placeholder="/home/you/src/checkout" spellcheck={false} autocomplete="off" />
              <small>It has a <code>ripple.app.yaml</code> at its root. What does not begin with a slash is looked for beside Ripple. Ripple works in its own clone; only a promoted change is pushed back.</small>
            </label>
            <label class="check">
              <input type="checkbox" checked={copy} onChange={(event) => setCopy(event.currentTarget.checked)} />
              The folder is not a repository of its own: work on a copy of it
            </label>
            {error && <ErrorNotice error={error} />}
          </div>
          <div class="dialog-actions">
            <button type="button" class="button plain" onClick={close}>Do not add</button>
            <ActionButton kind="primary" action={add} onError={setError} disabled={!path.trim()}>Add</ActionButton>
          </div>
        </Dialog>
      )}
    </>
  );
}

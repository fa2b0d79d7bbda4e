/** What a person may do with a change. Each button first says what will happen. */
import type { Change } from "../api.ts";
import { approve, cancel, change as getChange, rollBack, unhold } from "../client.ts";
import { short } from "../format.ts";
import { isTakenBack } from "../live-change.ts";
import { ConfirmButton } from "../parts/dialog.tsx";
import { say } from "../toast.ts";

interface ActionProps {
  change: Change;
  reload: () => Promise<void>;
}

const TAKE_BACK_MS = 60_000;
const DEPLOYED = new Set(["canary", "deploying", "passed"]);

export function ChangeActions({ change, reload }: ActionProps) {
  const running = change.state === "running";
  const waiting = change.environments.filter((one) => one.state === "awaiting_approval");
  const deployed = change.environments.filter((one) => DEPLOYED.has(one.state)).map((one) => one.environment);
  return (
    <>
      {running && waiting.map((one) => <Approve key={one.environment} change={change} reload={reload} environment={one.environment} />)}
      {((running && deployed.length > 0) || (change.state === "promoted" && !isTakenBack(change))) && <RollBack change={change} reload={reload} deployed={deployed} />}
      {running && <Cancel change={change} reload={reload} />}
      {mayBeHeld(change) && <ReleaseHold reload={reload} release={change.release ?? ""} />}
    </>
  );
}

function Approve({ change, reload, environment }: ActionProps & { environment: string }) {
  const act = async () => {
    await approve(change.id, environment);
    say(`${environment} is approved. The deployment starts.`);
    await reload();
  };
  return (
    <ConfirmButton label={`Approve ${environment}`} kind="primary" title={`Let this change into ${environment}?`} confirm={`Approve ${environment}`} action={act}>
      <p>Ripple deploys release <code>{short(change.release)}</code> of {change.application} to {environment}. Its canary still has to pass: if errors or latency exceed what is allowed, it is taken back without asking.</p>
      <p>Your name and the time are written to the audit log.</p>
    </ConfirmButton>
  );
}

function RollBack({ change, reload, deployed }: ActionProps & { deployed: string[] }) {
  const act = async () => {
    await rollBack(change.id);
    say("The roll-back was asked for.");
    if (change.state === "promoted") await takenBack(change.id);
    await reload();
  };
  return (
    <ConfirmButton label="Roll back" kind="danger" title="Roll this change back?" confirm="Roll it back" action={act}>
      <p>Each environment that runs this change ({deployed.join(", ")}) goes back to the release it ran before. Traffic moves first, then the new processes stop.</p>
      {change.state === "running" ? <p>The change ends as rolled back and goes no further.</p> : <p>Production is affected. To have the change again, ask for it again.</p>}
    </ConfirmButton>
  );
}

function Cancel({ change, reload }: ActionProps) {
  const act = async () => {
    await cancel(change.id);
    say("The change is being cancelled.");
    await reload();
  };
  return (
    <ConfirmButton label="Cancel" kind="plain" title="Cancel this change?" confirm="Cancel the change" action={act}>
      <p>The step it is in stops, and whatever it has deployed so far is taken back. Nothing is committed to {change.application}. This cannot be undone, but you can ask again.</p>
    </ConfirmButton>
  );
}

function ReleaseHold({ reload, release }: Pick<ActionProps, "reload"> & { release: string }) {
  const act = async () => {
    await unhold(release);
    say("The hold is released.");
    await reload();
  };
  return (
    <ConfirmButton label="Release the hold" kind="plain" title="Release the hold on this release?" confirm="Release the hold" action={act}>
      <p>Release <code>{short(release)}</code> failed its canary, so Ripple refuses to deploy the same content again. Without the hold, a later change with this content may be deployed, canary and all. Nothing is deployed now.</p>
    </ConfirmButton>
  );
}

/** Taking back a change that has ended is a task of its own, and no events come of an ended change. */
async function takenBack(id: string): Promise<void> {
  const deadline = Date.now() + TAKE_BACK_MS;
  while (!isTakenBack(await getChange(id))) {
    if (Date.now() > deadline) throw new Error("This change is still being taken back; look again in a moment.");
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** An API that does not say whether a release is held leaves it to what happened: a failed canary holds. */
function mayBeHeld(change: Change): boolean {
  if (!change.release || change.state === "running") return false;
  return change.held ?? change.gates.some((gate) => gate.gate === "canary" && gate.verdict === "fail");
}

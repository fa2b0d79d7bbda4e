/** A repair: asked for, decided by policy, written to the audit log, done by a worker. */
import { repairSystem } from "../client.ts";
import { ConfirmButton } from "../parts/dialog.tsx";
import { say } from "../toast.ts";
import type { Verb } from "./types.ts";

const WHAT: Record<Verb, { label: string; happens: string }> = {
  install: { label: "Install", happens: "What the lock names is fetched, checked by digest and laid out in this instance's own folder. Nothing is run." },
  fix: { label: "Install again", happens: "What differs from the lock is thrown away and laid out again." },
  remove: { label: "Remove", happens: "The installed files are removed. What was fetched stays in the cache." },
  verify: { label: "Prove by use", happens: "It is installed if need be and used once for what it is for, in a sandbox without network. The result is signed and kept." },
  restart: { label: "Restart", happens: "It is stopped and started again. What depends on it waits meanwhile." },
};

export interface RepairProps {
  system: string;
  name: string;
  verb: Verb;
  done: () => Promise<void>;
}

export function RepairButton({ system, name, verb, done }: RepairProps) {
  const { label, happens } = WHAT[verb];
  return (
    <ConfirmButton
      label={label}
      describe={`${label}: ${name}`}
      kind={verb === "remove" ? "danger" : "plain"}
      title={`${label}: ${name}?`}
      confirm={label}
      action={async () => {
        await repairSystem(system, verb);
        say(`${label}: ${name} has begun.`);
        await done();
      }}
    >
      <p>{happens}</p>
    </ConfirmButton>
  );
}

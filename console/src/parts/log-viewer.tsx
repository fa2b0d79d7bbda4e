/** The last lines a component wrote, kept fresh while the dialog is open. */
import { useEffect, useRef, useState } from "preact/hooks";
import { logs } from "../client.ts";
import { useResource } from "../resource.ts";
import { Dialog } from "./dialog.tsx";
import { ErrorNotice } from "./notice.tsx";
import { Loading } from "./waiting.tsx";

const LINES = 300;

export function LogViewer({ id, name }: { id: string; name: string }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" class="button quiet" aria-label={`Log of ${name}`} onClick={() => setOpen(true)}>Log</button>
      {open && <Log id={id} name={name} close={() => setOpen(false)} />}
    </>
  );
}

function Log({ id, name, close }: { id: string; name: string; close: () => void }) {
  const [following, setFollowing] = useState(true);
  const { data, error, reload } = useResource(() => logs(id, LINES), id, following ? 2000 : 0);
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (following && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [data, following]);
  return (
    <Dialog title={`Log of ${name}`} close={close} wide>
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="the log" />}
      {data && <pre class="log" ref={box} tabIndex={0}>{data.text || "Nothing was written yet."}</pre>}
      <div class="dialog-actions">
        <label class="check">
          <input type="checkbox" checked={following} onChange={(event) => setFollowing(event.currentTarget.checked)} />
          Follow the newest lines
        </label>
        <button type="button" class="button primary" onClick={close}>Close</button>
      </div>
    </Dialog>
  );
}

/** A modal dialog. The browser keeps the focus inside, closes it on Escape and gives the focus back. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { ActionButton } from "./action-button.tsx";
import { ErrorNotice } from "./notice.tsx";

export interface DialogProps {
  title: string;
  close: () => void;
  wide?: boolean;
  children: ComponentChildren;
}

export function Dialog({ title, close, wide = false, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={element} class={wide ? "wide" : ""} aria-labelledby={id} onCancel={close} onClose={close}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

export interface ConfirmProps {
  /** The button that opens the dialog. */
  label: string;
  kind?: "primary" | "danger" | "plain" | "quiet";
  title: string;
  confirm: string;
  action: () => Promise<void>;
  /** What will happen. */
  children: ComponentChildren;
  describe?: string;
}

/** A button whose action is explained and asked for again before it happens. */
export function ConfirmButton({ label, kind = "plain", title, confirm, action, children, describe }: ConfirmProps) {
  const [open, setOpen] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const close = () => setOpen(false);
  return (
    <>
      <button type="button" class={`button ${kind}`} aria-label={describe} onClick={() => { setError(null); setOpen(true); }}>
        {label}
      </button>
      {open && (
        <Dialog title={title} close={close}>
          <div class="dialog-body">{children}</div>
          {error && <ErrorNotice error={error} />}
          <div class="dialog-actions">
            <button type="button" class="button plain" onClick={close}>Keep as it is</button>
            <ActionButton
              kind={kind === "danger" ? "danger" : "primary"}
              action={async () => { await action(); close(); }}
              onError={setError}
            >
              {confirm}
            </ActionButton>
          </div>
        </Dialog>
      )}
    </>
  );
}

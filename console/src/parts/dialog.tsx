/** A modal dialog. The browser keeps the focus inside and closes it on Escape; the focus goes back to where it was. */
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
    const before = document.activeElement;
    element.current?.showModal();
    // The browser gives the focus back only from a dialog that is still in the page when it closes.
    return () => focusAgain(before);
  }, []);
  return (
    // Only its close, which comes after its cancel: heard after the dialog is opened again, it would shut that one.
    <dialog ref={element} class={wide ? "wide" : ""} aria-labelledby={id} onClose={close}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

function focusAgain(before: Element | null): void {
  const place = before?.isConnected ? before : document.getElementById("main");
  if (place instanceof HTMLElement) place.focus({ preventScroll: true });
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

/** The messages at the edge of the page. */
import { dismiss, toasts } from "../toast.ts";

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((one) => (
        <div key={one.id} class={`toast ${one.bad ? "tone-bad" : "tone-good"}`}>
          <span>{one.text}</span>
          <button type="button" class="button quiet" onClick={() => dismiss(one.id)}>Dismiss</button>
        </div>
      ))}
    </div>
  );
}

/** Short messages about what a button just did. Errors stay until they are dismissed. */
import { signal } from "@preact/signals";

export interface Toast {
  id: number;
  bad: boolean;
  text: string;
}

export const toasts = signal<Toast[]>([]);
let count = 0;

export function say(text: string): void {
  const id = show(text, false);
  setTimeout(() => dismiss(id), 6000);
}

export function sayError(error: unknown): void {
  show(error instanceof Error ? error.message : String(error), true);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

function show(text: string, bad: boolean): number {
  const id = ++count;
  toasts.value = [...toasts.value, { id, bad, text }];
  return id;
}

/** Light, dark, or what the system says, as the page's own state. */
import { signal } from "@preact/signals";
import { type Theme, keepTheme, showTheme, storedTheme } from "./theme-kept.ts";

export const theme = signal<Theme>(storedTheme());

export function chooseTheme(chosen: Theme): void {
  theme.value = chosen;
  showTheme(chosen);
  keepTheme(chosen);
}

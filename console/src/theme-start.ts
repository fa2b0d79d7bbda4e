/** Runs before the first paint, so that a dark page never flashes white. */
import { showTheme, storedTheme } from "./theme-kept.ts";

showTheme(storedTheme());

/** Starts the console. */
import { render } from "preact";
import { App } from "./app.tsx";
import { followHash } from "./router.ts";
import { askWhoIsSignedIn } from "./session.ts";
import { storedTheme, theme } from "./theme.ts";

theme.value = storedTheme();
followHash();
void askWhoIsSignedIn();
render(<App />, document.getElementById("app") as HTMLElement);

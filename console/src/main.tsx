/** Starts the console. */
import { render } from "preact";
import { App } from "./app.tsx";
import { followHash, route } from "./router.ts";
import { askWhoIsSignedIn } from "./session.ts";

followHash();
// A sign-in link is redeemed first: an answer from before it would say that nobody is signed in.
if (route.value.page !== "sign-in") void askWhoIsSignedIn();
render(<App />, document.getElementById("app") as HTMLElement);

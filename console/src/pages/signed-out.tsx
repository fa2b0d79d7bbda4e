/** Before anyone is signed in: redeeming a one-time link, and where to get one. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { signIn } from "../client.ts";
import { Icon } from "../parts/icon.tsx";
import { ErrorNotice } from "../parts/notice.tsx";
import { Loading } from "../parts/waiting.tsx";
import { href } from "../router.ts";
import { askWhoIsSignedIn, session } from "../session.ts";
import { Mark } from "../shell.tsx";

export function SignInPage({ token }: { token: string }) {
  const [error, setError] = useState<Error | null>(null);
  const spent = useRef(false);
  useEffect(() => {
    // The token works once: a second call would turn a good sign-in into an error.
    if (spent.current) return;
    spent.current = true;
    void redeem(token).catch((failure: unknown) => {
      setError(failure as Error);
      return askWhoIsSignedIn();
    });
  }, [token]);
  if (!error) return <Front title="Signing you in"><Loading what="your session" /></Front>;
  return (
    <Front title="This link did not sign you in">
      <ErrorNotice error={error} />
      <p>A link works once and only for a short while.</p>
      <NewLink />
      {session.value.state === "signed-in" && <p><a href={href("")}>You are signed in already: go on</a></p>}
    </Front>
  );
}

async function redeem(token: string): Promise<void> {
  await signIn(token);
  await askWhoIsSignedIn();
  // Replaced, so that the spent token stays neither in the address bar nor in the history.
  location.replace(href(""));
}

export function SignedOutPage() {
  return (
    <Front title="You are signed out">
      <p>Ripple signs you in by a link that works once. <code>./ripple up</code> printed one when it started.</p>
      <NewLink />
    </Front>
  );
}

export function UnreachablePage({ error }: { error: Error }) {
  useEffect(() => {
    const timer = setInterval(() => void askWhoIsSignedIn(), 2000);
    return () => clearInterval(timer);
  }, []);
  return (
    <Front title="Ripple does not answer">
      <ErrorNotice error={error} />
      <p class="loading" role="status"><span class="spinner" aria-hidden="true" /> Trying again every two seconds…</p>
    </Front>
  );
}

function NewLink() {
  return (
    <div class="hint">
      <Icon name="out" />
      <p>For a new link, run <code>./ripple up</code> again where Ripple was started, and open the link it prints. Nothing is restarted by it.</p>
    </div>
  );
}

function Front({ title, children }: { title: string; children: ComponentChildren }) {
  useEffect(() => {
    document.title = `${title} · Ripple`;
  }, [title]);
  return (
    <main class="front">
      <div class="front-card">
        <p class="brand"><Mark /> Ripple</p>
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}

/** What surrounds every page: skip link, navigation, theme, who is signed in. */
import type { ComponentChildren } from "preact";
import type { Me } from "./api.ts";
import { signOut } from "./client.ts";
import { ActionButton } from "./parts/action-button.tsx";
import { Icon, type IconName } from "./parts/icon.tsx";
import { Toasts } from "./parts/toasts.tsx";
import { type PageName, href, route } from "./router.ts";
import { session } from "./session.ts";
import { chooseTheme, theme } from "./theme.ts";
import type { Theme } from "./theme-kept.ts";

const PLACES: { page: PageName; link: string; text: string; icon: IconName; also?: PageName }[] = [
  { page: "overview", link: "", text: "Overview", icon: "overview" },
  { page: "applications", link: "applications", text: "Applications", icon: "applications" },
  { page: "changes", link: "changes", text: "Changes", icon: "changes", also: "change" },
  { page: "models", link: "models", text: "Models", icon: "models" },
  { page: "stack", link: "stack", text: "Stack", icon: "stack", also: "system" },
  { page: "audit", link: "audit", text: "Audit", icon: "audit" },
];

const THEMES: { theme: Theme; text: string; icon: IconName }[] = [
  { theme: "system", text: "As the system", icon: "system" },
  { theme: "light", text: "Light", icon: "sun" },
  { theme: "dark", text: "Dark", icon: "moon" },
];

export function Shell({ me, children }: { me: Me; children: ComponentChildren }) {
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={toMain}>Skip to the content</a>
      <div class="side">
        <a class="brand" href={href("")}><Mark /> Ripple</a>
        <a class="button primary ask" href={href("ask")} aria-current={route.value.page === "ask" ? "page" : undefined}>
          <Icon name="plus" /><span>Ask for a change</span>
        </a>
        <Places />
        <div class="side-foot">
          <ThemeChoice />
          <p class="who" title={me.roles.join(", ")}>{me.principal}</p>
          <ActionButton kind="quiet" action={leave}><Icon name="leave" /> Sign out</ActionButton>
        </div>
      </div>
      <main id="main" tabIndex={-1}>{children}</main>
      <Toasts />
    </div>
  );
}

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <circle cx="16" cy="16" r="3" /><circle cx="16" cy="16" r="8" /><circle cx="16" cy="16" r="13.500" />
    </svg>
  );
}

function Places() {
  const { page } = route.value;
  return (
    <nav class="places" aria-label="Pages">
      {PLACES.map((place) => (
        <a
          key={place.page}
          href={href(place.link)}
          aria-current={page === place.page || page === place.also ? "page" : undefined}
        >
          <Icon name={place.icon} /><span>{place.text}</span>
        </a>
      ))}
    </nav>
  );
}

function ThemeChoice() {
  return (
    <div class="themes" role="group" aria-label="Colours">
      {THEMES.map((one) => (
        <button
          key={one.theme}
          type="button"
          title={one.text}
          aria-label={one.text}
          aria-pressed={theme.value === one.theme}
          onClick={() => chooseTheme(one.theme)}
        >
          <Icon name={one.icon} />
        </button>
      ))}
    </div>
  );
}

/** A hash link would leave the page: the router owns the hash. */
function toMain(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

async function leave(): Promise<void> {
  await signOut();
  session.value = { state: "signed-out" };
}

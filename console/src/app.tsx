/** Which page is shown: by who is signed in first, by the route then. */
import { ApplicationsPage } from "./pages/applications.tsx";
import { AskPage } from "./pages/ask.tsx";
import { AuditPage } from "./pages/audit.tsx";
import { ChangePage } from "./pages/change.tsx";
import { ChangesPage } from "./pages/changes.tsx";
import { ModelsPage } from "./pages/models.tsx";
import { NotFoundPage } from "./pages/not-found.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { StackPage } from "./pages/stack.tsx";
import { SystemPage } from "./pages/system.tsx";
import { SignInPage, SignedOutPage, UnreachablePage } from "./pages/signed-out.tsx";
import { type Route, route } from "./router.ts";
import { session } from "./session.ts";
import { Shell } from "./shell.tsx";

export function App() {
  const { page, argument } = route.value;
  const who = session.value;
  if (page === "sign-in") return <SignInPage token={argument} />;
  if (who.state === "asking") return null;
  if (who.state === "signed-out") return <SignedOutPage />;
  if (who.state === "unreachable") return <UnreachablePage error={who.error} />;
  return (
    <Shell me={who.me}>
      <Content key={`${page}/${argument}`} route={route.value} />
    </Shell>
  );
}

function Content({ route: { page, argument, query } }: { route: Route }) {
  switch (page) {
    case "overview":
      return <OverviewPage />;
    case "applications":
      return <ApplicationsPage />;
    case "ask":
      return <AskPage application={query["application"] ?? ""} intent={query["intent"] ?? ""} />;
    case "changes":
      return <ChangesPage key={query["application"] ?? ""} application={query["application"] ?? ""} />;
    case "change":
      return <ChangePage id={argument} />;
    case "models":
      return <ModelsPage />;
    case "stack":
      return <StackPage />;
    case "system":
      return <SystemPage id={argument} />;
    case "audit":
      return <AuditPage />;
    default:
      return <NotFoundPage />;
  }
}

/** A link that leads nowhere. */
import { Page } from "../parts/page.tsx";
import { href } from "../router.ts";

export function NotFoundPage() {
  return (
    <Page title="There is no such page" lead="The link may be old or mistyped.">
      <p><a href={href("")}>Go to the overview</a></p>
    </Page>
  );
}

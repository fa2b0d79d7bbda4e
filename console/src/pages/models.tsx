/** Who can vote: the models on this machine and the providers elsewhere. */
import { models, providers } from "../client.ts";
import { ErrorNotice } from "../parts/notice.tsx";
import { Page } from "../parts/page.tsx";
import { Loading } from "../parts/waiting.tsx";
import { useResource } from "../resource.ts";
import { ModelList } from "../voters/model-list.tsx";
import { AddProvider, ProviderList } from "../voters/providers.tsx";

export function ModelsPage() {
  const local = useResource(models, "models", 3000);
  const remote = useResource(providers, "providers");
  const failed = local.error ?? remote.error;
  return (
    <Page title="Models and providers" lead="Every model here may propose an edit and has one vote of its weight. Models of one lineage share a weight.">
      {failed && <ErrorNotice error={failed} retry={() => void Promise.all([local.reload(), remote.reload()])} />}
      <section aria-labelledby="local-models">
        <h2 id="local-models">On this machine</h2>
        {!local.data && !failed && <Loading what="the models" />}
        {local.data && <ModelList models={local.data.models} reload={local.reload} />}
      </section>
      <section aria-labelledby="providers">
        <div class="section-head"><h2 id="providers">Providers</h2><AddProvider added={remote.reload} /></div>
        {!remote.data && !failed && <Loading what="the providers" />}
        {remote.data && <ProviderList providers={remote.data.providers} reload={remote.reload} />}
      </section>
    </Page>
  );
}

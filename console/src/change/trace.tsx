/** Where the time of a change went, from the spans that its processes kept. Fetched when it is opened. */
import { useState } from "preact/hooks";
import { trace } from "../client.ts";
import { seconds } from "../format.ts";
import { Facts } from "../parts/facts.tsx";
import { ErrorNotice } from "../parts/notice.tsx";
import { Loading } from "../parts/waiting.tsx";
import { useResource } from "../resource.ts";
import { type Bar, waterfall } from "../spans.ts";

export function Trace({ id }: { id: string }) {
  const [open, setOpen] = useState(false);
  return (
    <section aria-labelledby="trace-title">
      <h2 id="trace-title">Where the time went</h2>
      <details class="card" onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary class="more">Every part that was measured</summary>
        {open && <Spans id={id} />}
      </details>
    </section>
  );
}

function Spans({ id }: { id: string }) {
  const { data, error, reload } = useResource(() => trace(id), id);
  if (error) return <ErrorNotice error={error} retry={() => void reload()} />;
  if (!data) return <Loading what="the trace" />;
  if (data.spans.length === 0) return <p class="muted">No span of this change is kept.</p>;
  return <ol class="spans">{waterfall(data.spans).map((bar) => <SpanRow key={bar.span.span_id} bar={bar} />)}</ol>;
}

function SpanRow({ bar }: { bar: Bar }) {
  const { name, status, attributes } = bar.span;
  const failed = status === "error";
  return (
    <li>
      <details>
        <summary>
          <span class={`span-name ${failed ? "bad" : ""}`} style={{ paddingLeft: `${Math.min(bar.depth, 8) * 0.9}rem` }}>
            {name}{failed && " (failed)"}
          </span>
          <svg class="span-bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
            <rect class={failed ? "failed" : ""} x={bar.start * 100} y="0" width={Math.max(0.500, bar.length * 100)} height="6" />
          </svg>
          <span class="span-time">{seconds(bar.seconds)}</span>
        </summary>
        <Facts facts={attributes} />
      </details>
    </li>
  );
}

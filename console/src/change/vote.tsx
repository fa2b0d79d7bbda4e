/** The vote: how the weight is spread over answers that mean the same, and what told them apart. */
import type { Change, Consensus, Distinguishing } from "../api.ts";
import { type Segment, agreementNeeded, distinguishing, segments } from "../ballot.ts";
import { percent, plural } from "../format.ts";
import { Chip } from "../parts/chip.tsx";
import { CopyText } from "../parts/copy-text.tsx";
import { Reasons } from "../parts/notice.tsx";

export function Vote({ change }: { change: Change }) {
  const { consensus } = change;
  return (
    <section aria-labelledby="vote-title">
      <div class="section-head">
        <h2 id="vote-title">The vote</h2>
        {consensus && <Chip word={consensus.reached ? { text: "Consensus", tone: "good" } : { text: "No consensus", tone: "bad" }} />}
      </div>
      {consensus ? <Result consensus={consensus} /> : (
        <p class="muted placeholder">{change.state === "running" ? "Votes are counted when every answer was tried." : "This change ended before a vote."}</p>
      )}
    </section>
  );
}

function Result({ consensus }: { consensus: Consensus }) {
  const parts = segments(consensus);
  const needed = agreementNeeded(consensus);
  return (
    <div class="card">
      {parts.length > 0 && <Bar parts={parts} needed={needed} />}
      <dl class="inline-facts">
        <div><dt>Agreement</dt><dd>{percent(consensus.score, 1)} of {percent(needed)} needed</dd></div>
        <div><dt>Method</dt><dd>{consensus.method.replaceAll("_", " ")}</dd></div>
        {consensus.representative && <div><dt>Edit taken from</dt><dd>{consensus.representative}</dd></div>}
      </dl>
      <Reasons reasons={consensus.reasons} />
      <Legend parts={parts} />
      <Disagreements found={distinguishing(consensus)} parts={parts} contested={consensus.contested} />
    </div>
  );
}

function Bar({ parts, needed }: { parts: Segment[]; needed: number }) {
  const said = parts.map((one) => `answer ${one.letter} ${percent(one.share)}`).join(", ");
  let left = 0;
  return (
    <div class="vote-bar">
      <svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label={`Weight of the answers: ${said}. ${percent(needed)} are needed.`}>
        {parts.map((one) => {
          const x = left;
          left += one.share * 100;
          return <rect key={one.letter} class={`segment-${one.letter}`} x={x} y="0" width={Math.max(0, one.share * 100 - 0.300)} height="10" />;
        })}
      </svg>
      <svg class="needed" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
        <line x1={needed * 100} x2={needed * 100} y1="0" y2="10" />
      </svg>
      <span class="needed-text" style={{ left: `${needed * 100}%` }}>{percent(needed)}</span>
    </div>
  );
}

function Legend({ parts }: { parts: Segment[] }) {
  return (
    <ul class="legend">
      {parts.map((one) => (
        <li key={one.letter}>
          <span class={`letter segment-${one.letter}`}>{one.letter}</span>
          <span>
            <strong>{percent(one.share)}</strong> weight {Number(one.cluster.weight.toFixed(3))}{one.winner && " · winner"}
            <span class="muted wrap"> {plural(one.cluster.models.length, "model")}: {one.cluster.models.join(", ")}</span>
          </span>
          <CopyText text={one.cluster.key} label={`key of answer ${one.letter}`} />
        </li>
      ))}
    </ul>
  );
}

function Disagreements({ found, parts, contested }: { found: Distinguishing[]; parts: Segment[]; contested: boolean }) {
  if (found.length === 0) return contested ? <p class="muted">The answers differ, but no input was found that tells them apart.</p> : null;
  return (
    <div class="disagreements">
      <h3>Where the answers disagree</h3>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Where the answers disagree">
        <table class="data">
          <thead>
            <tr><th scope="col">Input</th>{parts.map((one) => <th scope="col" key={one.letter}>Answer {one.letter}</th>)}</tr>
          </thead>
          <tbody>
            {found.map((one, index) => (
              <tr key={index}>
                <th scope="row"><code>{one.function}({inputText(one.input)})</code></th>
                {parts.map((part) => <td key={part.letter}><code>{one.outcomes[part.cluster.key] ?? "–"}</code></td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function inputText(input: unknown): string {
  if (typeof input === "string") return input;
  return Array.isArray(input) ? input.map((one) => JSON.stringify(one)).join(", ") : JSON.stringify(input);
}

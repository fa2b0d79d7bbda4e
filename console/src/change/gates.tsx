/** The gates' evidence: verdict, reasons, what was seen, and whether the signature holds. */
import type { Envelope, Gate, Scan } from "../api.ts";
import { seconds } from "../format.ts";
import { gateKey } from "../live-change.ts";
import { Chip } from "../parts/chip.tsx";
import { CopyText } from "../parts/copy-text.tsx";
import { Facts } from "../parts/facts.tsx";
import { Icon } from "../parts/icon.tsx";
import { Reasons } from "../parts/notice.tsx";
import { When } from "../parts/when.tsx";
import { SCAN_STATES, VERDICTS, gateTitle, wordFor } from "../words.ts";

export function Gates({ gates, envelopes }: { gates: Gate[]; envelopes: Envelope[] }) {
  return (
    <section aria-labelledby="gates-title">
      <h2 id="gates-title">Gates and evidence</h2>
      {gates.length === 0 && <p class="muted placeholder">No gate has judged this change yet. A gate without evidence says no.</p>}
      <ul class="gates">
        {gates.map((gate) => (
          <GateRow key={gateKey(gate)} gate={gate} envelope={envelopes.find((one) => one.id === gate.envelope_id)} />
        ))}
      </ul>
    </section>
  );
}

function GateRow({ gate, envelope }: { gate: Gate; envelope: Envelope | undefined }) {
  const { scans, ...facts } = gate.data;
  return (
    <li class="card gate" data-gate={gate.gate} data-verdict={gate.verdict}>
      <details>
        <summary>
          <Chip word={wordFor(VERDICTS, gate.verdict)} />
          <span class="gate-title"><strong>{gateTitle(gate.gate)}</strong>{gate.environment && <span class="muted"> in {gate.environment}</span>}</span>
          <Seal envelope={envelope} />
          <span class="muted gate-time">{seconds(gate.duration_seconds)}</span>
        </summary>
        <div class="gate-body">
          <p class="muted">Judged <When at={gate.at} /> about <CopyText text={gate.subject} label="subject" /></p>
          {Array.isArray(scans) && <Scans scans={scans as Scan[]} />}
          <Facts facts={facts} />
          {envelope && <details class="raw"><summary>Signed statement</summary><pre tabIndex={0}>{JSON.stringify(envelope.envelope, null, 2)}</pre></details>}
        </div>
      </details>
      <Reasons reasons={gate.reasons} />
    </li>
  );
}

function Seal({ envelope }: { envelope: Envelope | undefined }) {
  if (!envelope) return <span class="seal muted">not checked yet</span>;
  return envelope.verified
    ? <span class="seal good"><Icon name="seal" /> signature verified</span>
    : <span class="seal bad"><Icon name="bang" /> not proven{envelope.reason && `: ${envelope.reason}`}</span>;
}

function Scans({ scans }: { scans: Scan[] }) {
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="Scans">
      <table class="data">
        <thead><tr><th scope="col">Scanner</th><th scope="col">Covers</th><th scope="col">Result</th><th scope="col">Found</th></tr></thead>
        <tbody>
          {scans.map((scan, index) => (
            <tr key={index}>
              <th scope="row">{scan.scanner}</th>
              <td>{Array.isArray(scan.covers) ? scan.covers.join(", ") : String(scan.covers ?? "")}</td>
              <td><Chip word={wordFor(SCAN_STATES, scan.state)} /></td>
              <td><Findings scan={scan} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Findings({ scan }: { scan: Scan }) {
  const found = scan.findings ?? [];
  if (found.length === 0) return <span class="muted">{scan.reason ?? (scan.state === "clean" ? "nothing" : "–")}</span>;
  return <ul class="plain-list">{found.map((one, index) => <li key={index}>{findingText(one)}</li>)}</ul>;
}

function findingText(finding: unknown): string {
  if (typeof finding !== "object" || finding === null) return String(finding);
  const { path, file, line, severity, rule, message, text, ...rest } = finding as Record<string, unknown>;
  const place = [path ?? file, line].filter((one) => one !== undefined && one !== null).join(":");
  const said = [place, severity, rule, message ?? text].filter(Boolean).join(" · ");
  return said || JSON.stringify(rest);
}

/** Any JSON object as a list of names and values. Values are shown as text, whatever they contain. */
import { isDigest } from "../format.ts";
import { CopyText } from "./copy-text.tsx";

export function Facts({ facts }: { facts: Record<string, unknown> }) {
  const entries = Object.entries(facts).filter(([, value]) => value !== null && value !== "");
  return (
    <dl class="facts">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>{name.replaceAll("_", " ")}</dt>
          <dd><Value name={name} value={value} /></dd>
        </div>
      ))}
    </dl>
  );
}

function Value({ name, value }: { name: string; value: unknown }) {
  if (isDigest(value)) return <CopyText text={value} label={name} />;
  if (typeof value === "string") return value.length > 120 || value.includes("\n") ? <pre tabIndex={0}>{value}</pre> : <span>{value}</span>;
  if (typeof value !== "object" || value === null) return <span>{String(value)}</span>;
  if (Array.isArray(value) && value.length === 0) return <span class="muted">none</span>;
  if (Array.isArray(value) && value.every((one) => typeof one === "string" && one.length < 200)) {
    return <ul class="plain-list">{value.map((one, index) => <li key={index}>{String(one)}</li>)}</ul>;
  }
  return <pre tabIndex={0}>{JSON.stringify(value, null, 2)}</pre>;
}

/** A unified diff with line numbers and signs. Everything a model wrote is shown as text. */
import { type DiffLine, type FileDiff, parseDiff } from "../diff.ts";

const SIGNS: Record<DiffLine["kind"], string> = { added: "+", removed: "−", context: "", hunk: "", note: "" };

export function DiffView({ title, diff }: { title: string; diff: string }) {
  return (
    <div class="diff-view">
      <h3>{title}</h3>
      {parseDiff(diff).map((file, index) => <File key={index} file={file} />)}
    </div>
  );
}

function File({ file }: { file: FileDiff }) {
  return (
    <figure class="diff">
      <figcaption>
        <code class="wrap">{file.path || "change"}</code>
        {file.status !== "changed" && <span class="tag">{file.status}</span>}
        <span class="diff-count"><span class="plus">+{file.added}</span> <span class="minus">−{file.removed}</span></span>
      </figcaption>
      <div class="diff-scroll" tabIndex={0} role="region" aria-label={`Lines of ${file.path}`}>
        <table>
          <tbody>
            {file.lines.map((line, index) => <Line key={index} line={line} />)}
          </tbody>
        </table>
      </div>
    </figure>
  );
}

function Line({ line }: { line: DiffLine }) {
  return (
    <tr class={`line ${line.kind}`}>
      <td class="number">{line.before}</td>
      <td class="number">{line.after}</td>
      <td class="sign">{SIGNS[line.kind]}</td>
      <td class="code">{line.kind === "hunk" ? line.text || "⋯" : line.text}</td>
    </tr>
  );
}

/** A unified diff as data: files, hunks and numbered lines. Text that is no diff becomes plain context. */

export type LineKind = "context" | "added" | "removed" | "hunk" | "note";

export interface DiffLine {
  kind: LineKind;
  before: number | null;
  after: number | null;
  text: string;
}

export interface FileDiff {
  path: string;
  status: "changed" | "added" | "deleted";
  added: number;
  removed: number;
  lines: DiffLine[];
}

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)$/;

export function parseDiff(text: string): FileDiff[] {
  const reader = new Reader();
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const line of lines) reader.take(line);
  return reader.files;
}

class Reader {
  readonly files: FileDiff[] = [];
  private before = 0;
  private after = 0;
  private beforeLeft = 0;
  private afterLeft = 0;

  take(line: string): void {
    if (this.beforeLeft > 0 || this.afterLeft > 0) return this.body(line);
    const hunk = HUNK.exec(line);
    if (hunk) return this.hunk(hunk);
    this.header(line);
  }

  private hunk([, before, beforeCount = "1", after, afterCount = "1", heading = ""]: string[]): void {
    this.before = Number(before);
    this.after = Number(after);
    this.beforeLeft = Number(beforeCount);
    this.afterLeft = Number(afterCount);
    this.push("hunk", null, null, heading.trim());
  }

  private body(line: string): void {
    const file = this.current();
    const text = line.slice(1);
    if (line.startsWith("+")) {
      file.added += 1;
      this.afterLeft -= 1;
      this.push("added", null, this.after++, text);
    } else if (line.startsWith("-")) {
      file.removed += 1;
      this.beforeLeft -= 1;
      this.push("removed", this.before++, null, text);
    } else if (line.startsWith("\\")) {
      this.push("note", null, null, text.trim());
    } else {
      this.beforeLeft -= 1;
      this.afterLeft -= 1;
      this.push("context", this.before++, this.after++, text);
    }
  }

  private header(line: string): void {
    if (line.startsWith("diff --git ")) {
      this.open(/ b\/(.+)$/.exec(line)?.[1] ?? line.slice("diff --git ".length));
    } else if (line.startsWith("--- ")) {
      if (this.files.at(-1)?.lines.length !== 0) this.open("");
      this.name(line.slice(4), "added");
    } else if (line.startsWith("+++ ")) {
      this.name(line.slice(4), "deleted");
    } else if (line.startsWith("new file")) {
      this.current().status = "added";
    } else if (line.startsWith("deleted file")) {
      this.current().status = "deleted";
    } else if (line.startsWith("\\")) {
      this.push("note", null, null, line.slice(1).trim());
    } else if (!/^(index |old mode|new mode|similarity|rename |copy )/.test(line) && line !== "") {
      this.push("note", null, null, line);
    }
  }

  private name(path: string, whenNull: "added" | "deleted"): void {
    const file = this.current();
    if (path === "/dev/null") file.status = whenNull;
    else file.path = path.replace(/^[ab]\//, "").replace(/\t.*$/, "");
  }

  private open(path: string): void {
    this.files.push({ path, status: "changed", added: 0, removed: 0, lines: [] });
  }

  private current(): FileDiff {
    if (this.files.length === 0) this.open("");
    return this.files[this.files.length - 1] as FileDiff;
  }

  private push(kind: LineKind, before: number | null, after: number | null, text: string): void {
    this.current().lines.push({ kind, before, after, text });
  }
}

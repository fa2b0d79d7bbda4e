/** Splits server-sent events out of text chunks, as the HTML standard §9.2 has it. */

export interface StreamEvent {
  id: string;
  kind: string;
  data: string;
}

export class EventStreamParser {
  private rest = "";
  private id = "";
  private kind = "";
  private data: string[] = [];

  push(chunk: string): StreamEvent[] {
    const found: StreamEvent[] = [];
    const lines = (this.rest + chunk).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") this.finish(found);
      else this.field(line);
    }
    return found;
  }

  private field(line: string): void {
    if (line.startsWith(":")) return;
    const at = line.indexOf(":");
    const name = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
    if (name === "id") this.id = value;
    else if (name === "event") this.kind = value;
    else if (name === "data") this.data.push(value);
  }

  private finish(found: StreamEvent[]): void {
    if (this.kind || this.data.length) {
      found.push({ id: this.id, kind: this.kind || "message", data: this.data.join("\n") });
    }
    this.kind = "";
    this.data = [];
  }
}

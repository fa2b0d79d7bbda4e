/** The spans of a trace as a waterfall: who contains whom, and when within the whole. Pure. */
import type { Span } from "./api.ts";

export interface Bar {
  span: Span;
  depth: number;
  /** Shares of the whole trace, 0 to 1. */
  start: number;
  length: number;
  seconds: number;
}

/** Parents before their children, siblings by when they began; a span whose parent is not kept stands on top. */
export function waterfall(spans: Span[]): Bar[] {
  if (spans.length === 0) return [];
  const first = Math.min(...spans.map((one) => one.start_ns));
  const whole = Math.max(...spans.map((one) => one.end_ns)) - first || 1;
  const known = new Set(spans.map((one) => one.span_id));
  const children = new Map<string, Span[]>();
  for (const span of [...spans].sort((a, b) => a.start_ns - b.start_ns)) {
    const parent = span.parent_id !== null && known.has(span.parent_id) && span.parent_id !== span.span_id ? span.parent_id : "";
    children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  const bars: Bar[] = [];
  const seen = new Set<string>();
  const place = (parent: string, depth: number): void => {
    for (const span of children.get(parent) ?? []) {
      if (seen.has(span.span_id)) continue;
      seen.add(span.span_id);
      const length = span.end_ns - span.start_ns;
      bars.push({ span, depth, start: (span.start_ns - first) / whole, length: length / whole, seconds: length / 1e9 });
      place(span.span_id, depth + 1);
    }
  };
  place("", 0);
  return bars;
}

/** A trace as a waterfall: every span once, inside its parent where that is known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Span } from "../src/api.ts";
import { waterfall } from "../src/spans.ts";

const span = (span_id: string, parent_id: string | null, start_ns: number, end_ns: number): Span => ({
  id: 1, trace_id: "t", span_id, parent_id, name: span_id, start_ns, end_ns, status: "ok", attributes: {},
});

test("children follow their parent in the order they began, with their share of the whole", () => {
  const bars = waterfall([span("late", "root", 6e9, 9e9), span("root", null, 0, 10e9), span("early", "root", 1e9, 2e9)]);
  assert.deepEqual(bars.map((one) => [one.span.name, one.depth, one.start, one.length, one.seconds]), [
    ["root", 0, 0, 1, 10],
    ["early", 1, 0.1, 0.1, 1],
    ["late", 1, 0.6, 0.3, 3],
  ]);
});

test("a span whose parent was not kept or is itself stands on top, and a circle ends", () => {
  assert.deepEqual(waterfall([span("orphan", "gone", 0, 1), span("own", "own", 2, 3)]).map((one) => one.depth), [0, 0]);
  const circle = waterfall([span("a", "b", 0, 1), span("b", "a", 0, 1)]);
  assert.ok(circle.length <= 2);
});

test("a trace that took no time at all has no share that is not a number", () => {
  assert.deepEqual(waterfall([]), []);
  assert.ok(waterfall([span("a", null, 5, 5)]).every((one) => Number.isFinite(one.start) && Number.isFinite(one.length)));
});

/** Server-sent events out of chunks: wherever the network cuts them, the same events come out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamParser, type StreamEvent } from "../src/event-stream.ts";

const STREAM = ': still here\n\nid: 7\nevent: step\ndata: {"step":"admit"}\n\nid: 8\ndata: one\ndata:two\n\nevent: end\ndata: {}\n\n';
const EVENTS: StreamEvent[] = [
  { id: "7", kind: "step", data: '{"step":"admit"}' },
  { id: "8", kind: "message", data: "one\ntwo" },
  { id: "8", kind: "end", data: "{}" },
];

test("events come out whole, comments not at all, and an id stays until the next one", () => {
  assert.deepEqual(new EventStreamParser().push(STREAM), EVENTS);
});

test("a stream cut anywhere gives the same events, with any kind of line end", () => {
  for (const end of ["\n", "\r\n", "\r"]) {
    const text = `${STREAM.replaceAll("\n", end)}: more${end}`;
    for (let at = 0; at <= text.length; at += 1) {
      const parser = new EventStreamParser();
      assert.deepEqual([...parser.push(text.slice(0, at)), ...parser.push(text.slice(at))], EVENTS, `${JSON.stringify(end)} at ${at}`);
    }
  }
});

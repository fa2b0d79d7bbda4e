/** Following a change over a real HTTP connection that breaks: nothing is missed, and an ending is an ending. */
import assert from "node:assert/strict";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { type FeedState, follow } from "../src/feed.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Serves each connection by the next answer and gives what the page saw until `last`. */
async function watched(answers: Answer[], last: FeedState): Promise<{ states: FeedState[]; steps: unknown[]; asked: (string | undefined)[] }> {
  const asked: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)] as Answer;
    asked.push(request.headers["last-event-id"] as string | undefined);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const browserFetch = globalThis.fetch;
  // A page's own origin is what a path without one is relative to.
  globalThis.fetch = (path, init) => browserFetch(`${origin}${String(path)}`, init);
  const states: FeedState[] = [];
  const steps: unknown[] = [];
  await new Promise<void>((resolve) => {
    const stop = follow("chg 1", {
      events: (batch) => steps.push(...batch.map((one) => one.data)),
      state: (state) => {
        states.push(state);
        if (state === last) resolve(stop());
      },
    });
  });
  globalThis.fetch = browserFetch;
  server.closeAllConnections();
  server.close();
  return { states, steps, asked };
}

const stream = (text: string): Answer => (request, response) => {
  assert.equal(request.url, "/api/changes/chg%201/events");
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.end(text);
};

test("a connection that breaks is taken up behind the last event that was seen", async () => {
  const { states, steps, asked } = await watched(
    [stream('id: 4\nevent: step\ndata: "admit"\n\nid: 5\nevent: step\ndata: "con'), stream('id: 5\nevent: step\ndata: "context"\n\nid: 5\nevent: end\ndata: {}\n\n')],
    "ended",
  );
  assert.deepEqual(steps, ["admit", "context"]);
  assert.deepEqual(asked, [undefined, "4"]);
  assert.deepEqual(states, ["connecting", "live", "reconnecting", "live", "ended"]);
});

test("an API that is away is asked again, one that refuses is not", async () => {
  const away: Answer = (_, response) => response.writeHead(503).end("{}");
  const refused: Answer = (_, response) => response.writeHead(404, { "content-type": "application/json" }).end("{}");
  const { states, asked } = await watched([away, refused], "refused");
  assert.deepEqual(states, ["connecting", "reconnecting", "refused"]);
  assert.equal(asked.length, 2);
});

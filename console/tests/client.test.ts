/** What the page says when the API refuses, breaks, or is no API at all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, isSignedOut, refusal } from "../src/client.ts";

test("a refusal carries the API's own words, its code and whether to try again", () => {
  const error = refusal(409, JSON.stringify({ error: { code: "conflict", message: "the base moved", retryable: false } }), "POST /changes");
  assert.deepEqual([error.message, error.code, error.status, error.retryable], ["the base moved", "conflict", 409, false]);
});

test("an answer that is not the API's says which call failed, and only a server's fault may be tried again", () => {
  for (const body of ["", "<html>bad gateway</html>", "{}", '{"error": "text"}']) {
    const error = refusal(502, body, "GET /status");
    assert.ok(error instanceof ApiError);
    assert.match(error.message, /GET \/status failed with status 502/);
  }
  assert.equal(refusal(502, "<html>", "GET /status").retryable, true);
  assert.equal(refusal(418, "<html>", "GET /status").retryable, false);
});

test("only an answer of 401 means that nobody is signed in", () => {
  assert.ok(isSignedOut(refusal(401, "", "GET /me")));
  assert.ok(!isSignedOut(refusal(403, "", "GET /me")));
  assert.ok(!isSignedOut(new Error("401")));
});

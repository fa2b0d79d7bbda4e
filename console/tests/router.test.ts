/** Hash routes: a link leads back to the page it was made for, and a strange one to a page that says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { href, parseRoute } from "../src/router.ts";

test("each page has its route", () => {
  const table: [string, string, string][] = [
    ["", "overview", ""], ["#/", "overview", ""], ["#/changes", "changes", ""], ["#/changes/chg-1", "change", "chg-1"],
    ["#/models", "models", ""], ["#/audit", "audit", ""], ["#/sign-in/tok%2Fen", "sign-in", "tok/en"],
    ["#/nowhere", "not-found", "nowhere"], ["#/models/extra", "not-found", "models/extra"],
  ];
  for (const [hash, page, argument] of table) {
    const found = parseRoute(hash);
    assert.deepEqual([found.page, found.argument], [page, argument], hash);
  }
});

test("what goes into a link's query comes out of it again", () => {
  const words = "a & b = ümläut #1?\n100%";
  assert.deepEqual(parseRoute(href("ask", { application: "checkout", intent: words })).query, { application: "checkout", intent: words });
  assert.equal(href("changes", { application: "" }), "#/changes");
});

test("a link that is not well encoded is a page that is not there, not an error", () => {
  assert.equal(parseRoute("#/%E0%A4%A").page, "not-found");
});

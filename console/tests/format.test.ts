/** Numbers, times and digests as people read them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bytes, exactTime, isDigest, percent, plural, seconds, secondsBetween, short } from "../src/format.ts";

test("durations change their unit and never show what is not there", () => {
  const table: [number | null | undefined, string][] = [
    [null, "–"], [undefined, "–"], [0, "0 ms"], [0.0123, "12 ms"], [0.5, "500 ms"], [1, "1.0 s"], [9.94, "9.9 s"],
    [42.4, "42 s"], [60, "1 min 0 s"], [3599, "59 min 59 s"], [3600, "1 h 0 min"], [7384, "2 h 3 min"],
  ];
  for (const [value, text] of table) assert.equal(seconds(value), text);
});

test("sizes are in powers of a thousand and never read 1000 of a unit", () => {
  const table: [number | null, string][] = [
    [null, "–"], [0, "0 B"], [999, "999 B"], [1000, "1.0 kB"], [999_900, "1.0 MB"], [145_000_000, "145 MB"], [2.5e9, "2.5 GB"],
  ];
  for (const [value, text] of table) assert.equal(bytes(value), text);
  for (let value = 1; value < 1e14; value *= 1.07) assert.doesNotMatch(bytes(value), /^1000 /);
});

test("shares are percentages, digests are short and keep no algorithm", () => {
  assert.equal(percent(0.6), "60 %");
  assert.equal(percent(0.0123, 1), "1.2 %");
  assert.equal(percent(null), "–");
  assert.equal(short(`sha256:${"ab".repeat(32)}`), "abababababab");
  assert.equal(short(""), "–");
});

test("only whole hexadecimal digests count as digests", () => {
  assert.ok(isDigest("a".repeat(40)) && isDigest(`sha256:${"0".repeat(64)}`));
  for (const other of ["a".repeat(39), "g".repeat(40), 12, null, `md5:${"a".repeat(40)}`]) assert.ok(!isDigest(other));
});

test("a moment is told by how long ago it was, and shown as it is when it is no time", () => {
  const now = Date.parse("2030-01-02T00:00:00Z");
  const table: [string, string][] = [
    ["2030-01-01T23:59:58Z", "just now"], ["2030-01-01T23:59:30Z", "30 s ago"], ["2030-01-01T23:30:00Z", "30 min ago"],
    ["2030-01-01T20:00:00Z", "4 h ago"], ["2029-12-30T00:00:00Z", "3 d ago"], ["soon", "soon"],
  ];
  for (const [at, text] of table) assert.equal(ago(at, now), text);
  assert.equal(exactTime("soon"), "soon");
});

test("a duration never runs backwards, and one thing is not many", () => {
  assert.equal(secondsBetween("2030-01-01T00:00:10Z", Date.parse("2030-01-01T00:00:00Z")), 0);
  assert.equal(secondsBetween("2030-01-01T00:00:00Z", Date.parse("2030-01-01T00:00:02.5Z")), 2.5);
  assert.deepEqual([plural(1, "entry", "entries"), plural(2, "entry", "entries"), plural(0, "model")], ["1 entry", "2 entries", "0 models"]);
});

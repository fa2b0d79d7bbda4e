/** A unified diff as data: what is added, removed and numbered; text that is no diff stays readable. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDiff } from "../src/diff.ts";

const CHANGED = `diff --git a/src/cart.py b/src/cart.py
index 1111111..2222222 100644
--- a/src/cart.py
+++ b/src/cart.py
@@ -3,4 +3,5 @@ def total(items):
 def total(items):
-    return sum(items)
+    found = sum(items)
+    return round(found, 2)
 
 END = 1
`;

test("each line of a hunk has its kind and its numbers on both sides", () => {
  const [file, ...others] = parseDiff(CHANGED);
  assert.deepEqual(others, []);
  assert.deepEqual([file?.path, file?.status, file?.added, file?.removed], ["src/cart.py", "changed", 2, 1]);
  assert.deepEqual(file?.lines.map((one) => [one.kind, one.before, one.after]), [
    ["hunk", null, null],
    ["context", 3, 3],
    ["removed", 4, null],
    ["added", null, 4],
    ["added", null, 5],
    ["context", 5, 6],
    ["context", 6, 7],
  ]);
  assert.equal(file?.lines[0]?.text, "def total(items):");
  assert.equal(file?.lines[2]?.text, "    return sum(items)");
});

test("a new file, a deleted file and a file with no newline at its end are told apart", () => {
  const files = parseDiff(
    [
      "diff --git a/new.txt b/new.txt", "new file mode 100644", "--- /dev/null", "+++ b/new.txt", "@@ -0,0 +1 @@", "+hello",
      "\\ No newline at end of file",
      "diff --git a/old.txt b/old.txt", "deleted file mode 100644", "--- a/old.txt", "+++ /dev/null", "@@ -1 +0,0 @@", "-bye",
    ].join("\n"),
  );
  assert.deepEqual(files.map((one) => [one.path, one.status, one.added, one.removed]), [
    ["new.txt", "added", 1, 0],
    ["old.txt", "deleted", 0, 1],
  ]);
  assert.equal(files[0]?.lines.at(-1)?.text, "No newline at end of file");
});

test("removed lines that look like headers stay lines of the hunk", () => {
  const [file, ...others] = parseDiff("--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,2 @@\n--- a comment\n+++ another\n same\n");
  assert.deepEqual(others, []);
  assert.deepEqual(file?.lines.slice(1).map((one) => [one.kind, one.text]), [
    ["removed", "-- a comment"],
    ["added", "++ another"],
    ["context", "same"],
  ]);
});

test("several files without git's own headers are not mixed", () => {
  const files = parseDiff("--- a/one\n+++ b/one\n@@ -1 +1 @@\n-1\n+2\n--- a/two\n+++ b/two\n@@ -1 +1 @@\n-3\n+4\n");
  assert.deepEqual(files.map((one) => one.path), ["one", "two"]);
});

test("text that is no diff is shown as notes, and nothing at all as nothing", () => {
  assert.deepEqual(parseDiff(""), []);
  assert.deepEqual(parseDiff("Binary files a/x.png and b/x.png differ")[0]?.lines.map((one) => one.kind), ["note"]);
});

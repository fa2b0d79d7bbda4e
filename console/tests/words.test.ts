/** Every state of the API has a word, and one that is not known yet is shown all the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CHANGE_STATES, COMPONENT_STATES, ENVIRONMENTS, STEPS, STEP_STATES, gateTitle, stepTitle, wordFor } from "../src/words.ts";

test("a state that the console does not know is shown as it is, in a quiet tone", () => {
  assert.deepEqual(wordFor(CHANGE_STATES, "waiting_for_tea"), { text: "waiting for tea", tone: "quiet" });
  assert.equal(wordFor(COMPONENT_STATES, "gave_up").tone, "bad");
});

test("no two states of one thing are called the same where they are not the same", () => {
  for (const words of [CHANGE_STATES, COMPONENT_STATES]) {
    const texts = Object.values(words).map((one) => one.text);
    assert.equal(new Set(texts).size, texts.length);
  }
  assert.equal(STEP_STATES.refused.tone, STEP_STATES.failed.tone);
});

test("the steps of a change visit every environment in order, and each has a title", () => {
  assert.deepEqual(STEPS.filter((one) => one.name.startsWith("promote/")).map((one) => one.name.slice(8)), ENVIRONMENTS);
  assert.equal(stepTitle("reduce"), "Vote");
  assert.equal(stepTitle("unknown"), "unknown");
  assert.equal(gateTitle("security"), "Security scan");
});

/** The chart's geometry: everything fits the box, the limit always shows, gaps stay gaps. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Box, type Point, linePath, niceCeiling, scaleFor } from "../src/chart.ts";

const BOX: Box = { width: 340, height: 150, left: 46, right: 10, top: 12, bottom: 24 };

test("a nice ceiling is never below its value and never more than two and a half times as high", () => {
  for (let power = -6; power <= 6; power += 1) {
    for (let digits = 1; digits < 10; digits += 0.37) {
      const value = digits * 10 ** power;
      const top = niceCeiling(value);
      assert.ok(top >= value * (1 - 1e-9), `${top} is below ${value}`);
      assert.ok(top <= value * 2.5, `${top} is far above ${value}`);
    }
  }
});

test("a value that is nothing to draw gets a scale of one", () => {
  for (const value of [0, -1, NaN, Infinity]) assert.equal(niceCeiling(value), 1);
});

test("every point and the limit lie inside the box", () => {
  const points: Point[] = [{ x: 0, y: 0 }, { x: 5, y: 0.04 }, { x: 9, y: 0.2 }];
  const scale = scaleFor([points], 0.25, BOX);
  for (const { x, y } of [...points, { x: 9, y: 0.25 }]) {
    assert.ok(scale.x(x) >= BOX.left && scale.x(x) <= BOX.width - BOX.right);
    assert.ok(scale.y(y ?? 0) >= BOX.top && scale.y(y ?? 0) <= BOX.height - BOX.bottom);
  }
  assert.ok(scale.top >= 0.25);
});

test("a limit above every value is still on the chart", () => {
  assert.ok(scaleFor([[{ x: 1, y: 0.01 }]], 3, BOX).top >= 3);
});

test("a line of zeros is drawn against the least top, not against the whole of one", () => {
  assert.equal(scaleFor([[{ x: 1, y: 0 }]], null, BOX, 0.02).top, 0.02);
  assert.ok(scaleFor([[{ x: 1, y: 0.4 }]], null, BOX, 0.02).top >= 0.4);
});

test("no sample, and one sample, still make a scale", () => {
  assert.equal(scaleFor([[]], null, BOX).last, 1);
  assert.equal(linePath([], scaleFor([[]], null, BOX)), "");
  assert.match(linePath([{ x: 0, y: 1 }], scaleFor([[{ x: 0, y: 1 }]], null, BOX)), /^M[\d.]+ [\d.]+$/);
});

test("a missing value breaks the line instead of drawing through zero", () => {
  const points: Point[] = [{ x: 0, y: 1 }, { x: 1, y: null }, { x: 2, y: 1 }, { x: 3, y: 2 }];
  const path = linePath(points, scaleFor([points], null, BOX));
  assert.equal(path.match(/M/g)?.length, 2);
  assert.equal(path.match(/L/g)?.length, 1);
});

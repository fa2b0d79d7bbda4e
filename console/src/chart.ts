/** Geometry of a small line chart: values to points in a fixed box, with a scale that always shows the limit. */

export interface Point {
  x: number;
  y: number | null;
}

export interface Box {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export interface Scale {
  x: (value: number) => number;
  y: (value: number) => number;
  top: number;
  last: number;
}

/** The smallest of 1, 2, 2.5, 5 × 10ⁿ that is not below `value`; 1 when there is nothing to show. */
export function niceCeiling(value: number): number {
  if (!(value > 0) || !Number.isFinite(value)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 2.5, 5, 10].find((one) => one * power >= value * (1 - 1e-9)) ?? 10;
  return step * power;
}

/** `least` is the lowest top of the scale: without it a line of zeros would be drawn against the whole of one. */
export function scaleFor(series: Point[][], limit: number | null, box: Box, least = 0): Scale {
  const points = series.flat();
  const highest = Math.max(limit ?? 0, ...points.map((point) => point.y ?? 0));
  const top = niceCeiling(Math.max(highest * 1.1, least));
  const last = Math.max(1, ...points.map((point) => point.x));
  const width = box.width - box.left - box.right;
  const height = box.height - box.top - box.bottom;
  return {
    top,
    last,
    x: (value) => box.left + (value / last) * width,
    y: (value) => box.top + height - (Math.min(value, top) / top) * height,
  };
}

/** An SVG path; a missing value breaks the line. */
export function linePath(points: Point[], scale: Scale): string {
  let path = "";
  let drawing = false;
  for (const point of points) {
    if (point.y === null) {
      drawing = false;
      continue;
    }
    path += `${drawing ? "L" : "M"}${scale.x(point.x).toFixed(1)} ${scale.y(point.y).toFixed(1)}`;
    drawing = true;
  }
  return path;
}

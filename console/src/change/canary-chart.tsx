/** One number of the canary over time, against the baseline and the limit; the same as a table for who cannot see it. */
import type { Sample, Traffic } from "../api.ts";
import { type Box, type Point, linePath, scaleFor } from "../chart.ts";

const BOX: Box = { width: 280, height: 140, left: 48, right: 10, top: 12, bottom: 24 };

interface ChartProps {
  title: string;
  samples: Sample[];
  value: (traffic: Traffic) => number | null;
  limit: number | null;
  least: number;
  show: (value: number) => string;
}

export function CanaryChart({ title, samples, value, limit, least, show }: ChartProps) {
  const start = Date.parse(samples[0]?.at ?? "");
  const series = (pick: (sample: Sample) => Traffic | null): Point[] =>
    samples.map((one) => {
      const traffic = pick(one);
      return { x: (Date.parse(one.at) - start) / 1000, y: traffic ? value(traffic) : null };
    });
  const canary = series((one) => one.canary);
  const baseline = series((one) => one.baseline);
  const scale = scaleFor([canary, baseline], limit, BOX, least);
  const ticks = [0, scale.top / 2, scale.top];
  const right = BOX.width - BOX.right;
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <svg viewBox={`0 0 ${BOX.width} ${BOX.height}`} role="img" aria-label={`${title}: canary ${shown(canary, show)}, baseline ${shown(baseline, show)}${limit === null ? "" : `, allowed ${show(limit)}`}`}>
        {ticks.map((tick) => (
          <g key={tick}>
            <line class="grid" x1={BOX.left} x2={right} y1={scale.y(tick)} y2={scale.y(tick)} />
            <text x={BOX.left - 6} y={scale.y(tick) + 3.5} text-anchor="end">{show(tick)}</text>
          </g>
        ))}
        <text x={BOX.left} y={BOX.height - 6}>0 s</text>
        <text x={right} y={BOX.height - 6} text-anchor="end">{Math.round(scale.last)} s</text>
        {limit !== null && <line class="limit" x1={BOX.left} x2={right} y1={scale.y(limit)} y2={scale.y(limit)} />}
        <path class="baseline" d={linePath(baseline, scale)} />
        <path class="canary" d={linePath(canary, scale)} />
      </svg>
      <details class="chart-table">
        <summary>{title} as a table</summary>
        <div class="table-scroll short" tabIndex={0} role="region" aria-label={`${title} as a table`}>
          <table class="data">
            <thead><tr><th scope="col">After</th><th scope="col">Canary</th><th scope="col">Baseline</th></tr></thead>
            <tbody>
              {canary.map((point, index) => (
                <tr key={index}><th scope="row">{Math.round(point.x)} s</th><td>{cell(point, show)}</td><td>{cell(baseline[index], show)}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

function cell(point: Point | undefined, show: (value: number) => string): string {
  return point?.y === null || point === undefined ? "–" : show(point.y);
}

function shown(points: Point[], show: (value: number) => string): string {
  return cell(points.at(-1), show);
}

/** Numbers, times and digests as people read them. */

export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value < 0.0005) return "0 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 60) return `${Math.round(value)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let amount = value;
  let unit = 0;
  // From 999.5 on it would be rounded up to 1000 of a unit.
  while (amount >= (unit === 0 ? 1000 : 999.5) && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${amount >= 100 || unit === 0 ? Math.round(amount) : amount.toFixed(1)} ${units[unit]}`;
}

export function percent(share: number | null | undefined, digits = 0): string {
  if (share === null || share === undefined) return "–";
  return `${(share * 100).toFixed(digits)} %`;
}

/** A digest or commit short enough to compare by eye: the algorithm is dropped, twelve digits stay. */
export function short(digest: string | null | undefined): string {
  if (!digest) return "–";
  return digest.replace(/^sha256:/, "").slice(0, 12);
}

export function isDigest(value: unknown): value is string {
  return typeof value === "string" && /^(sha256:)?[0-9a-f]{40,64}$/.test(value);
}

export function ago(at: string, now: number): string {
  const passed = (now - Date.parse(at)) / 1000;
  if (!Number.isFinite(passed)) return at;
  if (passed < 5) return "just now";
  if (passed < 60) return `${Math.floor(passed)} s ago`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86_400) return `${Math.floor(passed / 3600)} h ago`;
  return `${Math.floor(passed / 86_400)} d ago`;
}

export function exactTime(at: string): string {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? at : time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

export function secondsBetween(start: string, end: number): number {
  return Math.max(0, (end - Date.parse(start)) / 1000);
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A moment: how long ago, and exactly when for whoever asks. */
import { useNow } from "../clock.ts";
import { ago, exactTime } from "../format.ts";

export function When({ at }: { at: string }) {
  const now = useNow(10_000);
  return <time dateTime={at} title={exactTime(at)}>{ago(at, now)}</time>;
}

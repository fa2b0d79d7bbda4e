/** Something loaded from the API and kept fresh: the last good answer stays while a newer one is fetched. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { noticeSignedOut } from "./session.ts";

export interface Resource<T> {
  data: T | undefined;
  error: Error | undefined;
  reload: () => Promise<void>;
}

/**
 * Loads when the page opens or `key` changes, then every `everyMs` while the page is visible (0: never again). What is
 * still being answered by then is not asked for once more.
 */
export function useResource<T>(load: () => Promise<T>, key: string, everyMs = 0): Resource<T> {
  const [data, setData] = useState<T | undefined>();
  const [error, setError] = useState<Error | undefined>();
  const latest = useRef(load);
  const wanted = useRef(key);
  const asking = useRef(0);
  latest.current = load;
  wanted.current = key;

  const reload = useCallback(async () => {
    const asked = wanted.current;
    asking.current += 1;
    try {
      const answer = await latest.current();
      if (asked !== wanted.current) return;
      setData(() => answer);
      setError(undefined);
    } catch (failure) {
      noticeSignedOut(failure);
      if (asked === wanted.current) setError(failure as Error);
    } finally {
      asking.current -= 1;
    }
  }, []);

  useEffect(() => {
    setData(undefined);
    setError(undefined);
    void reload();
  }, [key, reload]);

  useEffect(() => {
    if (!everyMs) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden && !asking.current) void reload();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs, reload]);

  return { data, error, reload };
}

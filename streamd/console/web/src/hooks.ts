import { useCallback, useEffect, useRef, useState } from "preact/hooks";

export interface Loaded<T> {
  data: T | null;
  error: Error | null;
  /** Asks again, now. */
  reload: () => Promise<void>;
}

/** Asks at once and then again and again, but not while the tab is hidden. */
export function usePolling<T>(ask: () => Promise<T>, seconds: number, keys: unknown[]): Loaded<T> {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const latest = useRef(ask);
  latest.current = ask;
  const round = useRef(0);

  const reload = useCallback(async () => {
    const mine = ++round.current;
    try {
      const found = await latest.current();
      // An answer that was overtaken by a newer question is none any more.
      if (mine === round.current) {
        setData(found);
        setError(null);
      }
    } catch (caught) {
      if (mine === round.current) setError(caught as Error);
    }
  }, []);

  useEffect(() => {
    let timer = 0;
    let isOver = false;
    const tick = async () => {
      if (!document.hidden) await reload();
      if (!isOver) timer = window.setTimeout(tick, seconds * 1000);
    };
    const shown = () => {
      if (!document.hidden) void reload();
    };
    setData(null);
    setError(null);
    void tick();
    document.addEventListener("visibilitychange", shown);
    return () => {
      isOver = true;
      round.current += 1;
      window.clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, keys);

  return { data, error, reload };
}

/** The path behind "#/", decoded: ["processors", "front-door"]. */
export function useRoute(): string[] {
  const [route, setRoute] = useState(currentRoute);
  useEffect(() => {
    const changed = () => setRoute(currentRoute());
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  return route;
}

export function hrefTo(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

function currentRoute(): string[] {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return [];
  }
}

/** The time, for "2 min ago". */
export function useNow(seconds = 5): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), seconds * 1000);
    return () => window.clearInterval(timer);
  }, [seconds]);
  return now;
}

/** A URL of a blob, given back when it is no longer shown. */
export function useBlobUrl(blob: Blob | null): string | null {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    if (!blob) {
      setUrl(null);
      return;
    }
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url;
}

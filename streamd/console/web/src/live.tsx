// The live view of one stream processor: the last analysed frame, a few a second.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Api } from "./aws";
import { Frame } from "./frame";
import { useBlobUrl } from "./hooks";
import type { LiveHead, LiveState, Region, StreamProcessor } from "./types";
import { certaintyOf, nameOf } from "./types";
import { Button, clockText } from "./ui";

const FRAME_MS = 200;
const WAIT_MS = 1000;
const TROUBLE_MS = 3000;

export interface Shot {
  head: LiveHead;
  blob: Blob;
}

/** Splits an answer: a line of JSON, then the JPEG. */
export async function readShot(response: Response): Promise<Shot> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const end = bytes.indexOf(10);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))) as LiveHead;
  return { head, blob: new Blob([bytes.subarray(end + 1)], { type: "image/jpeg" }) };
}

function useShots(api: Api, name: string, isOn: boolean) {
  const [shot, setShot] = useState<Shot | null>(null);
  const [state, setState] = useState<LiveState | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const after = useRef("");

  useEffect(() => {
    if (!isOn) return;
    let isOver = false;
    let timer = 0;
    const next = async (): Promise<number> => {
      if (document.hidden) return WAIT_MS;
      try {
        const answer = await api.get("live", { name, after: after.current });
        if (isOver) return 0;
        setError(null);
        if (answer.headers.get("content-type")?.startsWith("application/octet-stream")) {
          const found = await readShot(answer);
          after.current = String(found.head.AnalyzedAt);
          setShot(found);
          setState(null);
          return FRAME_MS;
        }
        const told = (await answer.json()) as LiveState;
        if (told.State === "UNCHANGED") return FRAME_MS;
        setState(told);
        if (told.State === "NOT_RUNNING") setShot(null);
        return WAIT_MS;
      } catch (caught) {
        if (!isOver) setError(caught as Error);
        return TROUBLE_MS;
      }
    };
    const loop = async () => {
      const started = performance.now();
      const pause = await next();
      const spent = performance.now() - started;
      if (!isOver) timer = window.setTimeout(loop, Math.max(20, pause - spent));
    };
    void loop();
    return () => {
      isOver = true;
      window.clearTimeout(timer);
    };
  }, [api, name, isOn]);

  return { shot, state, error };
}

export function LiveView(props: { api: Api; processor: StreamProcessor; regions: Region[] }) {
  const [isPaused, setPaused] = useState(false);
  const { shot, state, error } = useShots(props.api, props.processor.Name, !isPaused);
  const url = useBlobUrl(shot?.blob ?? null);
  const finds = shot?.head.Finds ?? [];
  const inView = [...new Set(finds.map(nameOf))].sort().join(", ");
  const seconds = shot ? shot.head.ProducerTimestamp + shot.head.FrameOffsetInSeconds : 0;
  return (
    <section class="card live" aria-label="Live view">
      <Frame
        url={url}
        alt={`Last analysed frame of ${props.processor.Name}`}
        finds={finds}
        regions={props.regions}
      >
        {!url && <p class="over-frame">{reason(props.processor, state, error)}</p>}
        {isPaused && url && <p class="paused">Paused</p>}
      </Frame>
      <div class="live-bar">
        <p class="in-view" aria-live="polite">
          {url ? (inView ? `In view: ${inView}` : "Nobody and nothing in view") : " "}
        </p>
        <span class="dim tabular">{shot ? clockText(seconds) : ""}</span>
        <Button disabled={!url} onClick={() => setPaused(!isPaused)} aria-pressed={isPaused}>
          {isPaused ? "Resume" : "Pause"}
        </Button>
      </div>
      <ul class="visually-hidden" aria-label="Found in this frame">
        {finds.map((find, index) => (
          <li key={index}>
            {nameOf(find)}, {Math.round(certaintyOf(find))} %
          </li>
        ))}
      </ul>
      {error && url && <p class="dim">The picture stands still: {error.message}</p>}
    </section>
  );
}

function reason(processor: StreamProcessor, state: LiveState | null, error: Error | null): string {
  if (error) return error.message;
  if (!state) return "Asking for the last analysed frame …";
  switch (state.State) {
    case "NOT_RUNNING":
      return processor.Status === "FAILED"
        ? `It has failed: ${processor.StatusMessage ?? "no reason was given"}`
        : "It is stopped. Start it to see what it sees.";
    case "ELSEWHERE":
      return `It runs on another replica (${state.Owner}). Open the console there.`;
    default:
      return state.StatusMessage ?? "Waiting for the next analysed frame …";
  }
}

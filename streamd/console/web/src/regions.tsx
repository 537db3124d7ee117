// Drawing and editing regions of interest on a real frame: by pointer, by touch, by keyboard.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Api } from "./aws";
import { Frame, type Size } from "./frame";
import {
  MAX_POINTS,
  MAX_REGIONS,
  MIN_POINTS,
  boxBetween,
  clamp,
  describe,
  handlesOf,
  isLargeEnough,
  moveHandle,
  moveRegion,
  outline,
  rounded,
  sameRegions,
} from "./geometry";
import { useBlobUrl } from "./hooks";
import { readShot } from "./live";
import type { Point, Region, StreamProcessor } from "./types";
import { streamNameOf } from "./types";
import { Button, ErrorNote } from "./ui";

type Mode = "select" | "box" | "polygon";
type Grab =
  | { kind: "new-box"; from: Point }
  | { kind: "handle"; region: number; handle: number }
  | { kind: "region"; region: number; from: Point; start: Region };

const STEP = 0.01;
const LARGE_STEP = 0.05;
const ARROWS: Record<string, Point> = {
  ArrowLeft: { X: -1, Y: 0 },
  ArrowRight: { X: 1, Y: 0 },
  ArrowUp: { X: 0, Y: -1 },
  ArrowDown: { X: 0, Y: 1 },
};
const FIRST_BOX: Region = { BoundingBox: { Left: 0.3, Top: 0.3, Width: 0.4, Height: 0.4 } };

async function findFrame(api: Api, processor: StreamProcessor): Promise<Blob> {
  if (processor.Status === "RUNNING" || processor.Status === "STARTING") {
    const answer = await api.get("live", { name: processor.Name });
    if (answer.headers.get("content-type")?.startsWith("application/octet-stream")) {
      return (await readShot(answer)).blob;
    }
  }
  return (await api.get("still", { stream: streamNameOf(processor) })).blob();
}

export function RegionEditor(props: {
  api: Api;
  processor: StreamProcessor;
  onSave: (regions: Region[]) => Promise<void>;
  onClose: () => void;
}) {
  const stored = props.processor.RegionsOfInterest ?? [];
  // As they were when the editor was opened: the list is asked for again meanwhile.
  const [before] = useState(stored);
  const [regions, setRegions] = useState<Region[]>(stored);
  const [selected, setSelected] = useState<number | null>(null);
  const [mode, setMode] = useState<Mode>("select");
  const [draft, setDraft] = useState<Point[]>([]);
  const [newBox, setNewBox] = useState<Region | null>(null);
  const [blob, setBlob] = useState<Blob | null>(null);
  const [frameError, setFrameError] = useState<Error | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const frame = useRef<HTMLDivElement>(null);
  const shownWidth = useWidth(frame);
  const grab = useRef<Grab | null>(null);
  const url = useBlobUrl(blob);
  const isChanged = !sameRegions(regions, before);
  const isFull = regions.length >= MAX_REGIONS;
  const runs = !["STOPPED", "FAILED"].includes(props.processor.Status);

  const loadFrame = async () => {
    setFrameError(null);
    try {
      setBlob(await findFrame(props.api, props.processor));
    } catch (caught) {
      setFrameError(caught as Error);
    }
  };
  useEffect(() => void loadFrame(), [props.processor.Name]);

  const at = (event: PointerEvent): Point => {
    const area = frame.current?.getBoundingClientRect();
    if (!area) return { X: 0, Y: 0 };
    return {
      X: clamp((event.clientX - area.left) / area.width),
      Y: clamp((event.clientY - area.top) / area.height),
    };
  };
  const change = (index: number, region: Region) =>
    setRegions((all) => all.map((old, place) => (place === index ? region : old)));
  const add = (region: Region) => {
    setRegions((all) => [...all, region]);
    setSelected(regions.length);
    setMode("select");
    setDraft([]);
  };
  const remove = (index: number) => {
    setRegions((all) => all.filter((_, place) => place !== index));
    setSelected(null);
  };
  const closeDraft = () => {
    if (draft.length >= MIN_POINTS) add({ Polygon: draft });
  };

  const down = (event: PointerEvent) => {
    if (event.button !== 0 || !url) return;
    const point = at(event);
    const target = event.target as Element;
    const region = target.getAttribute("data-region");
    const handle = target.getAttribute("data-handle");
    if (mode === "polygon") {
      const closes = target.hasAttribute("data-closes");
      if (closes || draft.length === MAX_POINTS) closeDraft();
      else setDraft([...draft, { X: rounded(point.X), Y: rounded(point.Y) }]);
      return;
    }
    if (mode === "box") grab.current = { kind: "new-box", from: point };
    else if (region !== null && handle !== null) {
      grab.current = { kind: "handle", region: Number(region), handle: Number(handle) };
    } else if (region !== null) {
      const start = regions[Number(region)];
      if (start) grab.current = { kind: "region", region: Number(region), from: point, start };
      setSelected(Number(region));
    } else setSelected(null);
    if (grab.current) frame.current?.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent) => {
    const held = grab.current;
    if (!held) return;
    event.preventDefault();
    const point = at(event);
    if (held.kind === "new-box") setNewBox({ BoundingBox: boxBetween(held.from, point) });
    else if (held.kind === "handle") {
      const region = regions[held.region];
      if (region) change(held.region, moveHandle(region, held.handle, point));
    } else {
      const by = { X: point.X - held.from.X, Y: point.Y - held.from.Y };
      change(held.region, moveRegion(held.start, by));
    }
  };
  const up = () => {
    if (grab.current?.kind === "new-box" && newBox?.BoundingBox) {
      if (isLargeEnough(newBox.BoundingBox)) add(newBox);
    }
    grab.current = null;
    setNewBox(null);
  };
  const keys = (event: KeyboardEvent) => {
    const target = event.target as Element;
    if (event.key === "Escape" && (draft.length > 0 || mode !== "select")) {
      event.stopPropagation();
      setDraft([]);
      setMode("select");
    } else if (event.key === "Enter" && mode === "polygon" && draft.length > 0) {
      // Not also a press of the button that has the focus.
      event.preventDefault();
      closeDraft();
    } else if (event.key === "Backspace" && mode === "polygon") {
      setDraft(draft.slice(0, -1));
    } else if (target.hasAttribute("data-region")) {
      editByKey(event, target);
    }
  };
  const editByKey = (event: KeyboardEvent, target: Element) => {
    const index = Number(target.getAttribute("data-region"));
    const region = regions[index];
    if (!region) return;
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      remove(index);
      return;
    }
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    const step = event.shiftKey ? LARGE_STEP : STEP;
    const by = { X: arrow.X * step, Y: arrow.Y * step };
    const handle = target.getAttribute("data-handle");
    if (handle === null) {
      change(index, moveRegion(region, by));
      return;
    }
    const from = handlesOf(region)[Number(handle)];
    if (from)
      change(index, moveHandle(region, Number(handle), { X: from.X + by.X, Y: from.Y + by.Y }));
  };
  const save = async () => {
    setError(null);
    try {
      await props.onSave(regions);
      props.onClose();
    } catch (caught) {
      setError(caught as Error);
    }
  };

  return (
    <section class="card editor" aria-label="Regions of interest" onKeyDown={keys}>
      <div class="toolbar" role="toolbar" aria-label="Draw">
        <Button aria-pressed={mode === "select"} onClick={() => setMode("select")}>
          Select
        </Button>
        <Button onClick={loadFrame}>New frame</Button>
        <Button aria-pressed={mode === "box"} disabled={isFull} onClick={() => setMode("box")}>
          Draw box
        </Button>
        <Button disabled={isFull} onClick={() => add(FIRST_BOX)}>
          Add a box
        </Button>
        <Button
          aria-pressed={mode === "polygon"}
          disabled={isFull}
          onClick={() => setMode("polygon")}
        >
          Draw polygon
        </Button>
        {/* There all the time: nothing moves while somebody draws. */}
        <Button disabled={draft.length < MIN_POINTS} onClick={() => closeDraft()}>
          Finish polygon
        </Button>
      </div>
      <p class="dim hint" aria-live="polite">
        {hint(mode, draft.length, isFull)}
      </p>
      <div
        class={`drawing ${mode}`}
        // A click on the frame brings the keyboard here: Enter, Escape and Backspace.
        tabIndex={-1}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={up}
      >
        <Frame
          url={url}
          alt={`A frame of the video stream ${streamNameOf(props.processor)}`}
          frameRef={frame}
          overlay={(size) => (
            <Shapes
              size={size}
              unitsPerPixel={size.width / shownWidth}
              regions={newBox ? [...regions, newBox] : regions}
              selected={selected}
              draft={draft}
              onSelect={setSelected}
            />
          )}
        >
          {!url && (
            <p class="over-frame">
              {frameError
                ? `${frameError.message} Regions can be drawn once the camera has sent video.`
                : "Getting a frame …"}
            </p>
          )}
        </Frame>
      </div>
      <ol class="region-list">
        {regions.map((region, index) => (
          <li key={index} class={selected === index ? "selected" : ""}>
            <button type="button" class="link" onClick={() => setSelected(index)}>
              Region {index + 1}
            </button>
            <span class="dim">{describe(region)}</span>
            <Button aria-label={`Remove region ${index + 1}`} onClick={() => remove(index)}>
              Remove
            </Button>
          </li>
        ))}
        {regions.length === 0 && <li class="dim">No regions: the whole frame is looked at.</li>}
      </ol>
      {runs && isChanged && (
        <p class="note">
          AWS lets a stream processor be updated only while it is stopped. Saving stops it
          {props.processor.Settings?.FaceSearch
            ? " and starts it again."
            : "; start it again when you like."}
        </p>
      )}
      <ErrorNote error={error} />
      <div class="actions end">
        <Button onClick={props.onClose}>{isChanged ? "Discard changes" : "Close"}</Button>
        <Button kind="primary" disabled={!isChanged} onClick={save}>
          Save regions
        </Button>
      </div>
    </section>
  );
}

/** How wide an element is on the screen: points must fit fingers, on whatever screen. */
function useWidth(element: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(800);
  useEffect(() => {
    const watch = new ResizeObserver((entries) => {
      const seen = entries[0]?.contentRect.width;
      if (seen) setWidth(seen);
    });
    if (element.current) watch.observe(element.current);
    return () => watch.disconnect();
  }, []);
  return width;
}

function Shapes(props: {
  size: Size;
  unitsPerPixel: number;
  regions: Region[];
  selected: number | null;
  draft: Point[];
  onSelect: (index: number) => void;
}) {
  const { width, height } = props.size;
  const radius = (isTouched() ? 13 : 8) * props.unitsPerPixel;
  const first = props.draft[0];
  return (
    <>
      {props.regions.map((region, index) => (
        <polygon
          key={`region-${index}`}
          class={`region editable ${props.selected === index ? "selected" : ""}`}
          points={outline(region, width, height)}
          data-region={index}
          // In SVG the case of names counts: tabIndex would be no attribute.
          tabindex={0}
          role="button"
          aria-label={`Region ${index + 1}, ${describe(region)}. Arrow keys move it, Delete removes it.`}
          onFocus={() => props.onSelect(index)}
        />
      ))}
      {props.regions.map((region, index) =>
        props.selected !== index
          ? null
          : handlesOf(region).map((point, handle) => (
              <circle
                key={`handle-${index}-${handle}`}
                class="handle"
                cx={point.X * width}
                cy={point.Y * height}
                r={radius}
                data-region={index}
                data-handle={handle}
                tabindex={0}
                role="button"
                aria-label={`Region ${index + 1}, point ${handle + 1}. Arrow keys move it.`}
              />
            )),
      )}
      {props.draft.length > 0 && (
        <polyline
          class="draft"
          points={props.draft.map((point) => `${point.X * width},${point.Y * height}`).join(" ")}
        />
      )}
      {first && (
        <circle
          class="handle first"
          cx={first.X * width}
          cy={first.Y * height}
          r={radius * 1.3}
          data-closes={props.draft.length >= MIN_POINTS ? "" : undefined}
        />
      )}
    </>
  );
}

function isTouched(): boolean {
  return window.matchMedia("(pointer: coarse)").matches;
}

function hint(mode: Mode, points: number, isFull: boolean): string {
  if (isFull && mode === "select") return `There are ${MAX_REGIONS} regions, AWS's most.`;
  if (mode === "box") return "Drag over the part of the frame that matters.";
  if (mode === "polygon") {
    if (points === 0)
      return isTouched()
        ? "Tap the corners one after the other."
        : "Click the corners one after the other. Escape leaves.";
    if (points < MIN_POINTS) return `${pointsText(points)} ${MIN_POINTS - points} more at least.`;
    return isTouched()
      ? `${pointsText(points)} A tap on the first one closes it.`
      : `${pointsText(points)} Enter, or a click on the first one, closes it.`;
  }
  const drag = "Drag a region or one of its points.";
  return isTouched() ? drag : `${drag} With the keyboard: Tab to it, then the arrow keys.`;
}

function pointsText(points: number): string {
  return `${points} of at most ${MAX_POINTS} points.`;
}

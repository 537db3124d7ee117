// A frame with what is known of it drawn over it: regions below, boxes and names above.
import type { ComponentChildren, Ref } from "preact";
import { useState } from "preact/hooks";
import { outline } from "./geometry";
import type { Find, Region } from "./types";
import { certaintyOf, kindOf, nameOf } from "./types";

export interface Size {
  width: number;
  height: number;
}

export function Frame(props: {
  url: string | null;
  alt: string;
  finds?: Find[];
  regions?: Region[];
  /** Drawn over the frame, in units of the frame's size. */
  overlay?: (size: Size) => ComponentChildren;
  frameRef?: Ref<HTMLDivElement>;
  children?: ComponentChildren;
}) {
  const [size, setSize] = useState<Size>({ width: 1600, height: 900 });
  return (
    <div
      class="frame"
      ref={props.frameRef ?? null}
      style={{ aspectRatio: `${size.width} / ${size.height}` }}
    >
      {props.url && (
        <img
          src={props.url}
          alt={props.alt}
          draggable={false}
          onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) => {
            if (width !== size.width || height !== size.height) setSize({ width, height });
          }}
        />
      )}
      {props.url && (
        <svg viewBox={`0 0 ${size.width} ${size.height}`} aria-hidden={!props.overlay}>
          {(props.regions ?? []).map((region, index) => (
            <polygon key={index} class="region" points={outline(region, size.width, size.height)} />
          ))}
          {(props.finds ?? []).map((find, index) => (
            <Box key={index} find={find} size={size} />
          ))}
          {props.overlay?.(size)}
        </svg>
      )}
      {props.url && (props.finds ?? []).map((find, index) => <Name key={index} find={find} />)}
      {props.children}
    </div>
  );
}

function Box({ find, size }: { find: Find; size: Size }) {
  const box = find.BoundingBox;
  const place = {
    x: box.Left * size.width,
    y: box.Top * size.height,
    width: box.Width * size.width,
    height: box.Height * size.height,
  };
  return (
    <g>
      <rect class="box-edge" {...place} />
      <rect class={`box ${kindOf(find)}`} {...place} />
    </g>
  );
}

function Name({ find }: { find: Find }) {
  const box = find.BoundingBox;
  const isHigh = box.Top < 0.08;
  const isRight = box.Left > 0.7;
  return (
    <span
      class={`name ${kindOf(find)} ${isHigh ? "below" : "above"} ${isRight ? "right" : ""}`}
      aria-hidden="true"
      style={{
        top: `${100 * (isHigh ? Math.min(1, box.Top + box.Height) : box.Top)}%`,
        ...(isRight
          ? { right: `${100 * Math.max(0, 1 - box.Left - box.Width)}%` }
          : { left: `${100 * Math.max(0, box.Left)}%` }),
      }}
    >
      {nameOf(find)} <b>{Math.round(certaintyOf(find))} %</b>
    </span>
  );
}

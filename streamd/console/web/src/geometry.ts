// Regions of interest as the editor changes them. Ratios of the frame, 0 to 1. Pure.
import type { BoundingBox, Point, Region } from "./types";

/** AWS's limits (RegionOfInterest, API Reference). */
export const MAX_REGIONS = 10;
export const MIN_POINTS = 3;
export const MAX_POINTS = 10;
const LEAST_SIDE = 0.02;

export function clamp(value: number, low = 0, high = 1): number {
  return Math.min(high, Math.max(low, value));
}

/** Six digits, as the service echoes them. */
export function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}

export function boxBetween(a: Point, b: Point): BoundingBox {
  const left = clamp(Math.min(a.X, b.X));
  const top = clamp(Math.min(a.Y, b.Y));
  return {
    Left: rounded(left),
    Top: rounded(top),
    Width: rounded(clamp(Math.max(a.X, b.X)) - left),
    Height: rounded(clamp(Math.max(a.Y, b.Y)) - top),
  };
}

export function isLargeEnough(box: BoundingBox): boolean {
  return box.Width >= LEAST_SIDE && box.Height >= LEAST_SIDE;
}

/** The points a region is changed by: a box's corners clockwise from top left, or its points. */
export function handlesOf(region: Region): Point[] {
  if (region.Polygon) return region.Polygon;
  const box = region.BoundingBox;
  if (!box) return [];
  const right = rounded(box.Left + box.Width);
  const bottom = rounded(box.Top + box.Height);
  return [
    { X: box.Left, Y: box.Top },
    { X: right, Y: box.Top },
    { X: right, Y: bottom },
    { X: box.Left, Y: bottom },
  ];
}

/** Moves one handle; the opposite corner of a box stays. */
export function moveHandle(region: Region, index: number, to: Point): Region {
  const point = { X: rounded(clamp(to.X)), Y: rounded(clamp(to.Y)) };
  if (region.Polygon) {
    return { Polygon: region.Polygon.map((old, at) => (at === index ? point : old)) };
  }
  const opposite = handlesOf(region)[(index + 2) % 4];
  if (!opposite) return region;
  const box = boxBetween(point, opposite);
  return isLargeEnough(box) ? { BoundingBox: box } : region;
}

/** Moves a whole region, which stays inside the frame. */
export function moveRegion(region: Region, by: Point): Region {
  const points = handlesOf(region);
  const xs = points.map((point) => point.X);
  const ys = points.map((point) => point.Y);
  const dx = clamp(by.X, -Math.min(...xs), 1 - Math.max(...xs));
  const dy = clamp(by.Y, -Math.min(...ys), 1 - Math.max(...ys));
  if (region.Polygon) {
    return {
      Polygon: region.Polygon.map((point) => ({
        X: rounded(clamp(point.X + dx)),
        Y: rounded(clamp(point.Y + dy)),
      })),
    };
  }
  const box = region.BoundingBox;
  if (!box) return region;
  return {
    BoundingBox: { ...box, Left: rounded(box.Left + dx), Top: rounded(box.Top + dy) },
  };
}

export function outline(region: Region, width: number, height: number): string {
  return handlesOf(region)
    .map((point) => `${point.X * width},${point.Y * height}`)
    .join(" ");
}

export function describe(region: Region): string {
  const percent = (value: number) => Math.round(value * 100);
  if (region.Polygon) return `Polygon of ${region.Polygon.length} points`;
  const box = region.BoundingBox;
  return box ? `Box, ${percent(box.Width)} by ${percent(box.Height)}\u00a0% of the frame` : "Empty";
}

export function sameRegions(one: Region[], other: Region[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

import { describe as group, expect, test } from "vitest";
import { boxBetween, handlesOf, moveHandle, moveRegion, sameRegions } from "./geometry";
import type { Region } from "./types";

const BOX: Region = { BoundingBox: { Left: 0.2, Top: 0.3, Width: 0.4, Height: 0.2 } };
const TRIANGLE: Region = {
  Polygon: [
    { X: 0.1, Y: 0.1 },
    { X: 0.5, Y: 0.1 },
    { X: 0.3, Y: 0.4 },
  ],
};

group("boxes", () => {
  test("a box may be drawn from any corner and ends at the frame's edge", () => {
    expect(boxBetween({ X: 0.5, Y: 0.6 }, { X: -0.2, Y: 0.1 })).toEqual({
      Left: 0,
      Top: 0.1,
      Width: 0.5,
      Height: 0.5,
    });
  });
  test("moving a corner leaves the opposite one", () => {
    const moved = moveHandle(BOX, 0, { X: 0.1, Y: 0.1 });
    expect(handlesOf(moved)[2]).toEqual(handlesOf(BOX)[2]);
    expect(moved.BoundingBox?.Left).toBe(0.1);
  });
  test("a box does not become too small to be seen", () => {
    expect(moveHandle(BOX, 0, { X: 0.599, Y: 0.499 })).toBe(BOX);
  });
});

group("regions", () => {
  test("a region that is moved stays inside the frame and keeps its shape", () => {
    const moved = moveRegion(TRIANGLE, { X: 0.9, Y: -0.9 });
    expect(moved.Polygon).toEqual([
      { X: 0.6, Y: 0 },
      { X: 1, Y: 0 },
      { X: 0.8, Y: 0.3 },
    ]);
  });
  test("a point of a polygon moves alone", () => {
    const moved = moveHandle(TRIANGLE, 2, { X: 2, Y: 0.5 });
    expect(moved.Polygon).toEqual([
      { X: 0.1, Y: 0.1 },
      { X: 0.5, Y: 0.1 },
      { X: 1, Y: 0.5 },
    ]);
  });
  test("regions are the same by value", () => {
    expect(sameRegions([BOX], [structuredClone(BOX)])).toBe(true);
    expect(sameRegions([BOX], [TRIANGLE])).toBe(false);
  });
});

// The drawing of a requested area: its outline to scale, north up, with the door at its place.

import { bounds } from "../wire/area.js";

/** @import { Area } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
/**
 * In pixels from the top left corner.
 *
 * @typedef {{wide: number, high: number, line: {shape: "ellipse" | "polygon", attributes: Record<string, string>},
 *   door: {cx: string, cy: string} | null}} Drawing
 */

const DRAWN_PX = 160;

/**
 * The longer side of the drawing has `DRAWN_PX`.
 *
 * @param {Area} asked
 * @param {Wire.Point | null | undefined} position of the door
 * @returns {Drawing}
 */
export function drawn(asked, position) {
  const box = bounds(asked);
  const shrink = Math.cos((((box.south + box.north) / 2) * Math.PI) / 180);
  const scale = DRAWN_PX / Math.max((box.east - box.west) * shrink, box.north - box.south);
  /** @param {Wire.Point} options */
  const at = ({ lat, lon }) => [(lon - box.west) * shrink * scale, (box.north - lat) * scale];
  const [wide, high] = at({ lat: box.south, lon: box.east });
  const [x, y] = position ? at(position) : [];
  const door = position ? { cx: `${x}`, cy: `${y}` } : null;
  if (asked.shape === "circle") {
    const attributes = { cx: `${wide / 2}`, cy: `${high / 2}`, rx: `${wide / 2}`, ry: `${high / 2}` };
    return { wide, high, line: { shape: "ellipse", attributes }, door };
  }
  const points = asked.vertices.map((each) =>
    at(each)
      .map((n) => n.toFixed(1))
      .join(","),
  );
  return { wide, high, line: { shape: "polygon", attributes: { points: points.join(" ") } }, door };
}

// The drawing of a requested area: its outline to scale, north up, with the door at its place.

import { bounds } from "../wire/area.js";

export const DRAWN_PX = 160;

/**
 * @param {Area} asked
 * @param {Wire.Point | null | undefined} position of the door
 * @returns {{wide: number, high: number, line: {shape: string, attributes: Record<string, string>},
 *   door: {cx: string, cy: string} | null}} pixels, from the top left corner. The longer side has `DRAWN_PX`.
 */
export function drawn(asked, position) {
  const box = bounds(asked);
  const shrink = Math.cos((((box.south + box.north) / 2) * Math.PI) / 180);
  const scale = DRAWN_PX / Math.max((box.east - box.west) * shrink, box.north - box.south);
  /** @param {Wire.Point} options */
  const at = ({ lat, lon }) => [(lon - box.west) * shrink * scale, (box.north - lat) * scale];
  const [wide, high] = at({ lat: box.south, lon: box.east });
  const line =
    asked.shape === "circle"
      ? {
          shape: "ellipse",
          attributes: { cx: `${wide / 2}`, cy: `${high / 2}`, rx: `${wide / 2}`, ry: `${high / 2}` },
        }
      : {
          shape: "polygon",
          attributes: {
            points: asked.vertices
              .map((each) =>
                at(each)
                  .map((n) => n.toFixed(1))
                  .join(","),
              )
              .join(" "),
          },
        };
  const [x, y] = position ? at(position) : [];
  return { wide, high, line, door: position ? { cx: `${x}`, cy: `${y}` } : null };
}

// Areas as PROTOCOL.md section 4 has them: what may stand in a message, how large one is, and which doors count in it.
import { circleRows, DISC_M, e7, openedRows, PLACE_DEGREES, reaches, withinDisc } from "./area_opening.js";
import { also, integer, list, number, object, one, tagged } from "./schema.js";

/** @import { Area } from "../types.js" */
/** @import * as Wire from "./generated.js" */
/** @import { RowOfPlaces, Spot } from "./area_opening.js" */
/** @typedef {{ south: number, west: number, north: number, east: number }} Box */

const E7 = 1e7;
const M_PER_DEGREE = (Math.PI / 180) * 6371008.8;
/** @param {number} degrees */
const cosine = (degrees) => Math.cos((degrees * Math.PI) / 180);

/** @param {Wire.Point} options */
const hasSevenDecimals = ({ lat, lon }) => [lat, lon].every((each) => each === Math.round(each * E7) / E7);
export const isPoint = also(object({ lat: number(-90, 90), lon: number(-180, 180) }), hasSevenDecimals);

export const isArea = also(
  tagged("shape", {
    circle: also(
      object({ shape: one("circle"), lat: number(-90, 90), lon: number(-180, 180), radius_m: integer(1, 5000) }),
      hasSevenDecimals,
    ),
    polygon: object({ shape: one("polygon"), vertices: list(isPoint, 3, 32) }),
  }),
  (area) => isMeasurable(area) && (area.shape === "circle" || isSimple(area.vertices.map(e7))),
);

/** @param {Area} area */
export function bounds(area) {
  if (area.shape === "circle") {
    const high = area.radius_m / M_PER_DEGREE;
    const wide = high / cosine(area.lat);
    return { south: area.lat - high, west: area.lon - wide, north: area.lat + high, east: area.lon + wide };
  }
  const lats = area.vertices.map((vertex) => vertex.lat);
  const lons = area.vertices.map((vertex) => vertex.lon);
  return { south: Math.min(...lats), west: Math.min(...lons), north: Math.max(...lats), east: Math.max(...lons) };
}

/**
 * Square metres.
 *
 * @param {Area} area
 */
export function size(area) {
  if (area.shape === "circle") return Math.PI * area.radius_m ** 2;
  const corners = area.vertices.map(({ lat, lon }) => [BigInt(Math.round(lon * E7)), BigInt(Math.round(lat * E7))]);
  const doubled = corners.reduce((sum, [x1, y1], i) => {
    const [x2, y2] = corners[(i + 1) % corners.length];
    return sum + x1 * y2 - x2 * y1;
  }, 0n);
  const { south, north } = bounds(area);
  return (Math.abs(Number(doubled)) / 2 / E7 ** 2) * M_PER_DEGREE ** 2 * cosine((south + north) / 2);
}

/**
 * Square metres of what counts (PROTOCOL.md section 4, "What counts").
 *
 * @param {Area} area
 */
export function openedSize(area) {
  if (area.shape === "circle") return area.radius_m >= DISC_M ? size(area) : 0;
  const { south, north } = bounds(area);
  return counted(openedRows(area.vertices.map(e7))) * (PLACE_DEGREES * M_PER_DEGREE) ** 2 * cosine((south + north) / 2);
}

/** @param {RowOfPlaces[]} rows */
const counted = (rows) =>
  rows.reduce((sum, row) => sum + row.spans.reduce((all, [first, last]) => all + last - first + 1, 0), 0);

/**
 * True if the area contains the place.
 *
 * @param {Area} area
 * @param {Wire.Point} place
 */
export function contains(area, place) {
  if (area.shape === "polygon") return withinDisc(area.vertices.map(e7), e7(place));
  return area.radius_m >= DISC_M && reaches(e7(area), e7(place), area.radius_m);
}

/**
 * Rows of the places that count.
 *
 * @param {Area} area
 */
function countedRows(area) {
  if (area.shape === "polygon") return openedRows(area.vertices.map(e7));
  return area.radius_m >= DISC_M ? circleRows(e7(area), area.radius_m) : [];
}

/**
 * Share of the counted area that lies within `radius` metres of a place; 0 if no area counts.
 *
 * @param {Area} area
 * @param {Wire.Point} place
 * @param {number} radius
 */
export function shareNear(area, place, radius) {
  const rows = countedRows(area);
  const near = new Map(circleRows(e7(place), radius).map((row) => [row.latitude, row.spans[0]]));
  let sum = 0;
  for (const { latitude, spans } of rows) {
    const [west, east] = near.get(latitude) ?? [1, 0];
    for (const [first, last] of spans) sum += Math.max(0, Math.min(last, east) - Math.max(first, west) + 1);
  }
  return sum ? sum / counted(rows) : 0;
}

/**
 * @param {Box} outer
 * @param {Box} inner
 */
export const encloses = (outer, inner) =>
  outer.south <= inner.south && outer.west <= inner.west && inner.north <= outer.north && inner.east <= outer.east;

/**
 * True if the area is small enough for the local plane.
 *
 * @param {Area} area
 */
function isMeasurable(area) {
  const { south, west, north, east } = bounds(area);
  const diagonal = Math.hypot(north - south, (east - west) * cosine((south + north) / 2)) * M_PER_DEGREE;
  return south >= -80 && north <= 80 && east - west <= 180 && west > -180 && east < 180 && diagonal <= 5000;
}

/**
 * @param {Spot} a
 * @param {Spot} b
 * @param {Spot} c
 */
const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
/** @param {bigint} number */
const sign = (number) => Number(number > 0n) - Number(number < 0n);
/**
 * @param {bigint} a
 * @param {bigint} b
 * @param {bigint} c
 */
const isBetween = (a, b, c) => (a <= c && c <= b) || (b <= c && c <= a);
/**
 * @param {Spot} a
 * @param {Spot} b
 * @param {Spot} c
 */
const isInBox = (a, b, c) => isBetween(a[0], b[0], c[0]) && isBetween(a[1], b[1], c[1]);

/**
 * @param {Spot} a
 * @param {Spot} b
 * @param {Spot} c
 * @param {Spot} d
 */
function touch(a, b, c, d) {
  if (sign(turn(a, b, c)) * sign(turn(a, b, d)) < 0 && sign(turn(c, d, a)) * sign(turn(c, d, b)) < 0) return true;
  /** @type {[Spot, Spot, Spot][]} */
  const ends = [
    [a, b, c],
    [a, b, d],
    [c, d, a],
    [c, d, b],
  ];
  return ends.some((three) => turn(...three) === 0n && isInBox(...three));
}

/**
 * True if the closed line meets itself only at its corners.
 *
 * @param {Spot[]} corners
 */
function isSimple(corners) {
  if (new Set(corners.map(String)).size !== corners.length) return false;
  const sides = corners.map((corner, i) => [corner, corners[(i + 1) % corners.length]]);
  for (let i = 0; i < sides.length; i++) {
    for (let j = i + 1; j < sides.length; j++) {
      const [[a, b], [c, d]] = [sides[i], sides[j]];
      /**
       * @param {Spot} p
       * @param {Spot} q
       */
      const isSame = (p, q) => p[0] === q[0] && p[1] === q[1];
      if (isSame(b, c) || isSame(d, a)) {
        const [before, joint, after] = isSame(b, c) ? [a, b, d] : [c, d, b];
        if (turn(before, joint, after) === 0n && (isInBox(before, joint, after) || isInBox(joint, after, before)))
          return false;
      } else if (touch(a, b, c, d)) return false;
    }
  }
  return true;
}

/**
 * Metres from the middle of the area to a place, for the owner to read.
 *
 * @param {Area} area
 * @param {[number, number]} place
 */
export function distance(area, [lat, lon]) {
  const box = bounds(area);
  const middle = [(box.south + box.north) / 2, (box.west + box.east) / 2];
  return Math.hypot(lat - middle[0], (lon - middle[1]) * cosine(middle[0])) * M_PER_DEGREE;
}

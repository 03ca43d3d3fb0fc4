// Size and bounds of an area (PROTOCOL.md section 4); enough to hold a request against its limits.
import { FormatError } from "../errors.js";
import { integer, list, number, object, one, tagged } from "./schema.js";

const E7 = 1e7;
const M_PER_DEGREE = (Math.PI / 180) * 6371008.8;
const cosine = (degrees) => Math.cos((degrees * Math.PI) / 180);

export const isPoint = object({ lat: number(-90, 90), lon: number(-180, 180) });

export const isArea = tagged("shape", {
  circle: object({ shape: one("circle"), lat: number(-90, 90), lon: number(-180, 180), radius_m: integer(1, 5000) }),
  polygon: object({ shape: one("polygon"), vertices: list(isPoint, 3, 32) }),
});

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

/** Square metres. */
export function size(area) {
  if (area.shape === "circle") return Math.PI * area.radius_m ** 2;
  const corners = area.vertices.map(({ lat, lon }) => [BigInt(Math.round(lon * E7)), BigInt(Math.round(lat * E7))]);
  const doubled = corners.reduce((sum, [x1, y1], i) => {
    const [x2, y2] = corners[(i + 1) % corners.length];
    return sum + x1 * y2 - x2 * y1;
  }, 0n);
  const { south, north } = bounds(area);
  return ((Math.abs(Number(doubled)) / 2 / E7 ** 2) * M_PER_DEGREE ** 2) * cosine((south + north) / 2);
}

export const encloses = (outer, inner) =>
  outer.south <= inner.south && outer.west <= inner.west && inner.north <= outer.north && inner.east <= outer.east;

/** Throws FormatError where the local plane would not hold. */
export function requireMeasurable(area) {
  const { south, west, north, east } = bounds(area);
  const diagonal = Math.hypot(north - south, (east - west) * cosine((south + north) / 2)) * M_PER_DEGREE;
  if (south < -80 || north > 80 || west <= -180 || east >= 180 || diagonal > 5000) {
    throw new FormatError("error.format", { what: "area" });
  }
}

/** Metres from the middle of the area to a place, for the owner to read. */
export function distance(area, [lat, lon]) {
  const box = bounds(area);
  const middle = [(box.south + box.north) / 2, (box.west + box.east) / 2];
  return Math.hypot(lat - middle[0], (lon - middle[1]) * cosine(middle[0])) * M_PER_DEGREE;
}

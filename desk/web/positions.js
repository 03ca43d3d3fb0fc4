// Positions and areas as the form writes them: "52.09070, 5.12140", latitude first, one corner on a line.

/**
 * @typedef {[number, number]} LonLat longitude and latitude in degrees
 * @typedef {{ shape: "circle", centre: LonLat, radius_m: number } | { shape: "polygon", corners: LonLat[] }} DrawnArea
 */

const DECIMALS = 6; // 0.1 m, which is finer than a person draws and coarser than the seven decimals of the protocol
const COARSE = 1000; // steps in a degree of the places that neighbours write: 111 m, desk/neighbourhood/submissions.py
const EARTH_RADIUS_M = 6_371_008.8; // the mean radius that the doorbells use (agent/wire/area.py)
const M_PER_DEGREE = (Math.PI / 180) * EARTH_RADIUS_M;
const CIRCLE_CORNERS = 64;
const POSITION = /^\s*(-?\d{1,2}(?:\.\d+)?)\s*[,;\s]\s*(-?\d{1,3}(?:\.\d+)?)\s*$/;

/** @param {number} degrees */
const rounded = (degrees) => Number(degrees.toFixed(DECIMALS));

/** @param {LonLat} position */
export const written = ([lon, lat]) => `${rounded(lat)}, ${rounded(lon)}`;

/**
 * Returns the position in a line, or null.
 * @param {string} line
 * @returns {LonLat | null}
 */
export function parsePosition(line) {
  const found = POSITION.exec(line);
  if (!found) return null;
  const [lat, lon] = [Number(found[1]), Number(found[2])];
  return Math.abs(lat) <= 90 && Math.abs(lon) <= 180 ? [lon, lat] : null;
}

/**
 * Returns the nearest place on a grid of a thousandth of a degree, so that the place of a writer tells no door.
 * @param {LonLat} position
 * @returns {LonLat}
 */
export const coarse = ([lon, lat]) => [Math.round(lon * COARSE) / COARSE, Math.round(lat * COARSE) / COARSE];

/**
 * Returns the corners of a text with one position a line, or null if a line is none.
 * @param {string} text
 * @returns {LonLat[] | null}
 */
export function parseCorners(text) {
  /** @type {LonLat[]} */
  const corners = [];
  for (const line of text.split("\n")) {
    if (!line.trim()) continue;
    const position = parsePosition(line);
    if (!position) return null;
    corners.push(position);
  }
  return corners;
}

/**
 * Returns the outline of an area as a closed ring.
 * @param {DrawnArea} area
 * @returns {LonLat[]}
 */
export function ringOf(area) {
  if (area.shape === "polygon") return [...area.corners, area.corners[0]];
  const [lon, lat] = area.centre;
  const high = area.radius_m / M_PER_DEGREE;
  const wide = high / Math.cos((lat * Math.PI) / 180);
  return Array.from({ length: CIRCLE_CORNERS + 1 }, (_, step) => {
    const angle = ((step % CIRCLE_CORNERS) / CIRCLE_CORNERS) * 2 * Math.PI;
    return [rounded(lon + wide * Math.cos(angle)), rounded(lat + high * Math.sin(angle))];
  });
}

/**
 * Returns west, south, east and north of positions.
 * @param {LonLat[]} positions
 * @returns {[number, number, number, number]}
 */
export function boundsOf(positions) {
  const lons = positions.map(([lon]) => lon);
  const lats = positions.map(([, lat]) => lat);
  return [Math.min(...lons), Math.min(...lats), Math.max(...lons), Math.max(...lats)];
}

/**
 * Returns the circle that a closed ring was drawn as.
 * @param {LonLat[]} ring
 * @returns {DrawnArea}
 */
export function circleOf(ring) {
  const [west, south, east, north] = boundsOf(ring);
  const radius_m = Math.max(1, Math.round(((north - south) / 2) * M_PER_DEGREE));
  return { shape: "circle", centre: [rounded((west + east) / 2), rounded((south + north) / 2)], radius_m };
}

// The part of a polygon that counts: its opening by a disc of 60 m, exact on integers (PROTOCOL.md section 4, "What
// counts"; agent/wire/area_opening.py walks along the same rows).

/** @import * as Wire from "./generated.js" */
/** @typedef {[bigint, bigint]} Spot longitude and latitude in 1e-7 degrees */
/** @typedef {[bigint, bigint]} Interval the first and the last */
/** @typedef {{ a: Spot, dx: bigint, dy: bigint, length2: bigint, most: bigint }} Side */
/** @typedef {{ latitude: number, spans: [number, number][] }} RowOfPlaces in numbers of 2e-5 degrees */

export const DISC_M = 60;
const SCALE = 1n << 20n;
const RADIUS = 5658034498n;
const RADIUS2 = RADIUS * RADIUS;
const CENTRE = 100n;
const PLACE = 200n;
const PLACE_DEGREES = 2e-5;
const E7 = 1e7;

/**
 * @param {Wire.Point} options
 * @returns {Spot}
 */
export const e7 = ({ lat, lon }) => [BigInt(Math.round(lon * E7)), BigInt(Math.round(lat * E7))];

/**
 * Units for 1e-7 degrees of longitude, where `SCALE` stand for those of latitude; `twice` is south + north in 1e-7
 * degrees.
 *
 * @param {bigint} twice
 */
export const across = (twice) =>
  BigInt(Math.floor(Number(SCALE) * Math.cos((Number(twice) / 2 / E7) * (Math.PI / 180)) + 0.5));

/**
 * @param {bigint} a
 * @param {bigint} b
 */
const floor = (a, b) => (a >= 0n || a % b === 0n ? a / b : a / b - 1n);
/**
 * @param {bigint} a
 * @param {bigint} b
 */
const ceil = (a, b) => -floor(-a, b);
/** @param {bigint} a */
const abs = (a) => (a < 0n ? -a : a);
/**
 * The multiples of `step` between two numbers, by their numbers; empty when the first is beyond the last.
 *
 * @param {bigint} first
 * @param {bigint} last
 * @param {bigint} step
 * @returns {Interval}
 */
const whole = (first, last, step) => [ceil(first, step), floor(last, step)];

/** @param {bigint} square */
function root(square) {
  if (square < 2n) return square;
  let found = BigInt(Math.floor(Math.sqrt(Number(square))));
  while (found * found > square) found = (found + square / found) >> 1n;
  while ((found + 1n) * (found + 1n) <= square) found++;
  return found;
}

/**
 * Even–odd rule on a ray to the east; the outline itself is inside.
 *
 * @param {Spot[]} corners
 * @param {Spot} place
 */
export function inOutline(corners, [x, y]) {
  let inside = false;
  for (let i = 0; i < corners.length; i++) {
    const [ax, ay] = corners[i];
    const [bx, by] = corners[(i + 1) % corners.length];
    const side = (bx - ax) * (y - ay) - (by - ay) * (x - ax);
    /**
     * @param {bigint} a
     * @param {bigint} b
     * @param {bigint} c
     */
    const isWithin = (a, b, c) => (a <= c && c <= b) || (b <= c && c <= a);
    if (side === 0n && isWithin(ax, bx, x) && isWithin(ay, by, y)) return true;
    if (ay > y !== by > y && side > 0n === by > ay) inside = !inside;
  }
  return inside;
}

/**
 * True if `at` lies within that distance of the centre of a circle.
 *
 * @param {Spot} centre
 * @param {Spot} at
 * @param {number} radius
 */
export const reaches = (centre, at, radius) => {
  const [dx, dy] = [(centre[0] - at[0]) * across(2n * centre[1]), (centre[1] - at[1]) * SCALE];
  return (dx * dx + dy * dy) * BigInt(DISC_M ** 2) <= (BigInt(radius) * RADIUS) ** 2n;
};

/**
 * @param {Spot} one
 * @param {Spot} other
 * @returns {Side}
 */
function side(one, other) {
  // From south to north, so that `dy` is at least 0.
  const [a, b] = one[1] > other[1] ? [other, one] : [one, other];
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length2 = dx * dx + dy * dy;
  return { a, dx, dy, length2, most: root(RADIUS2 * length2 - 1n) };
}

/**
 * The interval of the row `y` that is too near, with its foot on the side.
 *
 * @param {Side} options
 * @param {bigint} y
 * @returns {Interval | null}
 */
function blocked({ a, dx, dy, length2, most }, y) {
  const north = y - a[1];
  const ranges = [];
  if (dy === 0n) {
    if (abs(north * dx) > most) return null;
  } else ranges.push(whole(north * dx - most, north * dx + most, dy));
  if (dx === 0n) {
    if (north * dy < 0n || north * dy > length2) return null;
  } else if (dx > 0n) ranges.push(whole(-north * dy, length2 - north * dy, dx));
  else ranges.push(whole(north * dy - length2, north * dy, -dx));
  const first = ranges.reduce((most, each) => (each[0] > most ? each[0] : most), ranges[0][0]);
  const last = ranges.reduce((least, each) => (each[1] < least ? each[1] : least), ranges[0][1]);
  return first <= last ? [a[0] + first, a[0] + last] : null;
}

/**
 * In order and free of overlap; empty ones are left out.
 *
 * @param {Interval[]} intervals
 * @returns {Interval[]}
 */
function merged(intervals) {
  const sorted = intervals
    .filter(([first, last]) => first <= last)
    .sort((a, b) => Number(a[0] > b[0]) - Number(a[0] < b[0]));
  /** @type {Interval[]} */
  const found = [];
  for (const [first, last] of sorted) {
    const standing = found.at(-1);
    if (!standing || first > standing[1] + 1n) found.push([first, last]);
    else if (last > standing[1]) standing[1] = last;
  }
  return found;
}

/**
 * The centres of a polygon's discs on one row, as intervals of numbers of `CENTRE`.
 *
 * @param {Spot[]} corners
 */
function centres(corners) {
  const [lons, lats] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  /** @param {bigint[]} all */
  const least = (all) => all.reduce((a, b) => (b < a ? b : a));
  /** @param {bigint[]} all */
  const most = (all) => all.reduce((a, b) => (b > a ? b : a));
  const wide = across(least(lats) + most(lats));
  const step = CENTRE * wide;
  const points = corners.map(([lon, lat]) => /** @type {Spot} */ ([lon * wide, lat * SCALE]));
  const sides = points.map((point, i) => side(point, points[(i + 1) % points.length]));
  const [west, east] = whole(least(lons), most(lons), CENTRE);
  const [south, north] = whole(least(lats), most(lats), CENTRE);
  /**
   * @param {bigint} number
   * @returns {Interval[]}
   */
  function row(number) {
    const y = number * CENTRE * SCALE;
    /** @type {Interval[]} */
    const taken = [];
    for (const [x, cornerY] of points) {
      const left = RADIUS2 - (y - cornerY) ** 2n;
      if (left <= 0n) continue;
      const half = root(left - 1n);
      taken.push(whole(x - half, x + half, step));
    }
    for (const each of sides) {
      if (y <= each.a[1] - RADIUS || y >= each.a[1] + each.dy + RADIUS) continue;
      const range = blocked(each, y);
      if (range) taken.push(whole(...range, step));
    }
    /** @type {Interval[]} */
    const found = [];
    let first = west;
    for (const [begins, ends] of [...merged(taken), [east + 1n, east]]) {
      // Between two blocked intervals the row crosses no side: one centre answers for all.
      if (first < begins && inOutline(corners, [first * CENTRE, number * CENTRE]))
        found.push([first, begins - 1n < east ? begins - 1n : east]);
      if (ends + 1n > first) first = ends + 1n;
    }
    return found;
  }
  return { wide, step, south, north, row };
}

/**
 * True if a place counts.
 *
 * @param {Spot[]} corners
 * @param {Spot} at
 */
export function withinDisc(corners, at) {
  if (!inOutline(corners, at)) return false;
  const { wide, step, row } = centres(corners);
  const [first, last] = whole(at[1] - RADIUS / SCALE, at[1] + RADIUS / SCALE, CENTRE);
  for (let number = first; number <= last; number++) {
    const half = root(RADIUS2 - ((number * CENTRE - at[1]) * SCALE) ** 2n);
    const [west, east] = whole(at[0] * wide - half, at[0] * wide + half, step);
    if (west <= east && row(number).some(([begins, ends]) => begins <= east && west <= ends)) return true;
  }
  return false;
}

/**
 * Every row of places that count, from the south: {latitude, spans} in numbers of 2e-5 degrees.
 *
 * @param {Spot[]} corners
 * @returns {RowOfPlaces[]}
 */
export function openedRows(corners) {
  const { wide, south, north, row } = centres(corners);
  const reach = Number(RADIUS / SCALE / CENTRE);
  const halves = Array.from({ length: reach + 1 }, (_, n) =>
    Number(root(RADIUS2 - (BigInt(n) * CENTRE * SCALE) ** 2n) / (CENTRE * wide)),
  );
  // From here on all numbers are small: rows and columns of a metre, which a double holds exactly.
  /** @type {Map<number, [number, number][]>} */
  const rows = new Map();
  for (let number = south; number <= north; number++) {
    const spans = row(number);
    if (!spans.length) continue;
    rows.set(
      Number(number),
      spans.map(([first, last]) => [Number(first), Number(last)]),
    );
  }
  if (!rows.size) return [];
  const every = Number(PLACE / CENTRE);
  const numbers = [...rows.keys()];
  /** @type {RowOfPlaces[]} */
  const found = [];
  const lowest = Math.floor((numbers[0] - reach) / every);
  const highest = Math.floor((numbers[numbers.length - 1] + reach) / every) + 1;
  for (let latitude = lowest; latitude <= highest; latitude++) {
    /** @type {[number, number][]} */
    const smeared = [];
    for (let away = -reach; away <= reach; away++) {
      const half = halves[Math.abs(away)];
      for (const [first, last] of rows.get(latitude * every + away) ?? []) smeared.push([first - half, last + half]);
    }
    const spans = joinedSpans(smeared)
      .map(([first, last]) => /** @type {[number, number]} */ ([Math.ceil(first / every), Math.floor(last / every)]))
      .filter(([first, last]) => first <= last);
    if (spans.length) found.push({ latitude, spans });
  }
  return found;
}

/**
 * In order, and those that touch or overlap as one.
 *
 * @param {[number, number][]} spans
 */
function joinedSpans(spans) {
  /** @type {[number, number][]} */
  const found = [];
  for (const [first, last] of spans.sort((a, b) => a[0] - b[0])) {
    const standing = found.at(-1);
    if (standing && first <= standing[1] + 1) standing[1] = Math.max(standing[1], last);
    else found.push([first, last]);
  }
  return found;
}

/**
 * Rows of the places in a circle.
 *
 * @param {Spot} centre
 * @param {number} radius
 * @returns {RowOfPlaces[]}
 */
export function circleRows(centre, radius) {
  /** @type {RowOfPlaces[]} */
  const found = [];
  const wide = across(2n * centre[1]);
  const radius2 = (BigInt(radius) * RADIUS) ** 2n / BigInt(DISC_M ** 2);
  const reach = root(radius2) / SCALE;
  for (let latitude = floor(centre[1] - reach, PLACE); latitude <= floor(centre[1] + reach, PLACE) + 1n; latitude++) {
    const left = radius2 - ((latitude * PLACE - centre[1]) * SCALE) ** 2n;
    if (left < 0n) continue;
    const half = root(left);
    const [first, last] = whole(centre[0] * wide - half, centre[0] * wide + half, PLACE * wide);
    if (first <= last) found.push({ latitude: Number(latitude), spans: [[Number(first), Number(last)]] });
  }
  return found;
}

export { PLACE_DEGREES };

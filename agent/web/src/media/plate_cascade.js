// Finds number plates in a picture: where they are, and no letter of them. The same cascade and arithmetic as
// agent/clients/media/plate_cascade.py, which names its source.

/** @import { Box, Luma } from "../owner/face_tracks.js" */
/** @typedef {{ hits: number, left: number, top: number, right: number, bottom: number }} Plate in pixels */
/** @typedef {[left: number, top: number, width: number, height: number, weight: number]} Part */
/** @typedef {[threshold: number, low: number, high: number, isTilted: 0 | 1, parts: Part[]]} Stump */
/** @typedef {[least: number, stumps: Stump[]]} Stage */
/** @typedef {{ threshold: number, low: number, high: number, sums: Float64Array, parts: number[][] }} Placed */

const WINDOW_PX = [60, 20];
const ZOOM = 1.15;
const STEP_PX = 2;
const LEAST_OVERLAP = 0.3;

export class PlateCascade {
  #stages;

  /** @param {Stage[]} stages plates.json */
  constructor(stages) {
    this.#stages = stages;
  }

  /**
   * The plates in a picture, those with the most hits first.
   *
   * @param {Luma} luma
   * @returns {Plate[]}
   */
  find(luma) {
    const whole = integral(luma.data, luma.rows, luma.columns);
    /** @type {Box[]} */
    const hits = [];
    for (let zoom = 1; ; zoom *= ZOOM) {
      const [rows, columns] = [Math.floor(luma.rows / zoom), Math.floor(luma.columns / zoom)];
      if (columns < WINDOW_PX[0] || rows < WINDOW_PX[1]) return grouped(hits);
      const data = shrunk(whole, luma.columns, zoom, rows, columns);
      for (const [left, top] of this.#windows(data, rows, columns))
        hits.push([left * zoom, top * zoom, (left + WINDOW_PX[0]) * zoom, (top + WINDOW_PX[1]) * zoom]);
    }
  }

  /**
   * Columns and rows of the windows that each stage accepts.
   *
   * @param {ArrayLike<number>} data
   * @param {number} rows
   * @param {number} columns
   */
  #windows(data, rows, columns) {
    const [sums, stride] = [integral(data, rows, columns), columns + 1];
    const squares = integral(
      Float64Array.from(data, (each) => each * each),
      rows,
      columns,
    );
    const stages = placed(this.#stages, sums, tilted(data, rows, columns), stride);
    const [width, height] = [WINDOW_PX[0] - 2, WINDOW_PX[1] - 2];
    const inner = cornersOf([1, 1, width, height, 1], stride);
    /** @type {[left: number, top: number][]} */
    const found = [];
    for (let top = 0; top <= rows - WINDOW_PX[1]; top += STEP_PX)
      for (let left = 0; left <= columns - WINDOW_PX[0]; left += STEP_PX) {
        const at = top * stride + left;
        const mean = sumOf(sums, at, inner);
        const spread = Math.sqrt(Math.max(1, width * height * sumOf(squares, at, inner) - mean * mean));
        if (stages.every((stage) => isAccepted(stage, at, spread))) found.push([left, top]);
      }
    return found;
  }
}

/**
 * @param {{ least: number, stumps: Placed[] }} stage
 * @param {number} at
 * @param {number} spread
 */
function isAccepted({ least, stumps }, at, spread) {
  let total = 0;
  for (const { threshold, low, high, sums, parts } of stumps) {
    let value = 0;
    for (const part of parts) value += part[4] * sumOf(sums, at, part);
    total += value < threshold * spread ? low : high;
  }
  return total >= least;
}

/**
 * The stages with the offsets of each part's corners in tables of this width.
 *
 * @param {Stage[]} stages
 * @param {Float64Array} sums
 * @param {Float64Array} tiltedSums
 * @param {number} stride
 */
const placed = (stages, sums, tiltedSums, stride) =>
  stages.map(([least, stumps]) => ({
    least,
    stumps: stumps.map(([threshold, low, high, isTilted, parts]) => ({
      threshold,
      low,
      high,
      sums: isTilted ? tiltedSums : sums,
      parts: parts.map((part) => (isTilted ? tiltedCornersOf(part, stride) : cornersOf(part, stride))),
    })),
  }));

/**
 * Offsets of a part's corners, two that count and two that are subtracted, and its weight.
 *
 * @param {Part} part
 * @param {number} stride
 */
function cornersOf([x, y, width, height, weight], stride) {
  const [first, last] = [y * stride + x, (y + height) * stride + x];
  return [first, last + width, last, first + width, weight];
}

/**
 * @param {Part} part
 * @param {number} stride
 */
function tiltedCornersOf([x, y, width, height, weight], stride) {
  const top = y * stride + x;
  return [
    top,
    top + (width + height) * stride + width - height,
    top + height * stride - height,
    top + width * stride + width,
    weight,
  ];
}

/**
 * @param {Float64Array} sums
 * @param {number} at
 * @param {number[]} corners
 */
const sumOf = (sums, at, corners) =>
  sums[at + corners[0]] + sums[at + corners[1]] - sums[at + corners[2]] - sums[at + corners[3]];

/**
 * Sums of everything above and to the left of each point. Whole numbers, so no addition rounds.
 *
 * @param {ArrayLike<number>} data
 * @param {number} rows
 * @param {number} columns
 */
function integral(data, rows, columns) {
  const stride = columns + 1;
  const made = new Float64Array((rows + 1) * stride);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let column = 0; column < columns; column++) {
      sum += data[row * columns + column];
      made[(row + 1) * stride + column + 1] = made[row * stride + column + 1] + sum;
    }
  }
  return made;
}

/**
 * Sums over the triangles that open upwards from each point.
 *
 * @param {ArrayLike<number>} data
 * @param {number} rows
 * @param {number} columns
 */
function tilted(data, rows, columns) {
  const stride = columns + 1;
  const made = new Float64Array((rows + 1) * stride);
  /**
   * @param {number} row
   * @param {number} column
   */
  const pixel = (row, column) => (row < 0 || column < 0 ? 0 : data[row * columns + column]);
  for (let y = 1; y <= rows; y++)
    for (let x = 0; x <= columns; x++) {
      const up = (y - 1) * stride + x;
      const left = x ? made[up - 1] : 0;
      const right = x < columns ? made[up + 1] : 0;
      const own = pixel(y - 1, x - 1) + pixel(y - 2, x - 1);
      const above = x && x < columns && y > 1 ? made[up - stride] : 0;
      made[y * stride + x] = left + right - above + own;
    }
  return made;
}

/**
 * The mean brightness below each pixel of a smaller picture, rounded down.
 *
 * @param {Float64Array} whole the larger picture's sums
 * @param {number} width the larger picture's
 * @param {number} zoom
 * @param {number} rows
 * @param {number} columns
 */
function shrunk(whole, width, zoom, rows, columns) {
  const stride = width + 1;
  const made = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const [top, bottom] = [Math.floor(row * zoom), Math.floor((row + 1) * zoom)];
    for (let column = 0; column < columns; column++) {
      const [left, right] = [Math.floor(column * zoom), Math.floor((column + 1) * zoom)];
      const corners = [top * stride + left, bottom * stride + right, top * stride + right, bottom * stride + left];
      made[row * columns + column] = Math.floor(sumOf(whole, 0, corners) / ((bottom - top) * (right - left)));
    }
  }
  return made;
}

/**
 * One plate for hits that overlap: the mean of their boxes.
 *
 * @param {Box[]} hits
 * @returns {Plate[]}
 */
function grouped(hits) {
  /** @type {number[][]} */
  const groups = [];
  for (const box of hits) {
    const group = groups.find(
      ([count, ...sides]) =>
        overlap(
          sides.map((side) => side / count),
          box,
        ) >= LEAST_OVERLAP,
    );
    if (!group) groups.push([1, ...box]);
    else for (const [i, each] of [1, ...box].entries()) group[i] += each;
  }
  return groups
    .map(([hits, ...sides]) => {
      const [left, top, right, bottom] = sides.map((side) => side / hits);
      return { hits, left, top, right, bottom };
    })
    .sort((one, other) => other.hits - one.hits);
}

/**
 * Intersection over union.
 *
 * @param {number[]} one
 * @param {number[]} other
 */
function overlap(one, other) {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  if (width <= 0 || height <= 0) return 0;
  const both = width * height;
  return both / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both);
}

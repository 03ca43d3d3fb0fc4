// Finds faces in a picture: where they are, and nothing about who they are. The same network and arithmetic as
// agent/clients/media/face_network.py, which names its source. Runs where it is called, without WebAssembly.

/** @import { Bytes } from "../types.js" */
/** @typedef {{ score: number, left: number, top: number, right: number, bottom: number }} Face in pixels */
/** @typedef {{ data: Float32Array, rows: number, columns: number, channels: number }} Planes one by one */
/** @typedef {{ weights: Float32Array, bias: Float32Array }} Layer */

const STRIDES_PX = [8, 16, 32];
/** Channels into a stage, between its two convolutions, and out of it. */
const STAGES = [
  [16, 16, 32],
  [32, 32, 64],
  [64, 64, 64],
  [64, 64, 64],
  [64, 64, 64],
];
const HEADS = /** @type {const} */ ({ cls: 1, obj: 1, bbox: 4 });
const PAD_PX = 32;
const MOST_OVERLAP = 0.45;
const LARGEST_LOGIT = 80;

/** The pairs of convolutions in the order of the file: name, inputs and outputs. */
const PAIRS = /** @type {[string, number, number][]} */ ([
  ["first", 16, 16],
  ...STAGES.flatMap(([first, middle, last], i) => [
    [`stage${i}a`, first, middle],
    [`stage${i}b`, middle, last],
  ]),
  ...STRIDES_PX.map((_, level) => [`neck${level}`, 64, 64]),
  ...Object.entries(HEADS).flatMap(([head, outputs]) => STRIDES_PX.map((_, level) => [head + level, 64, outputs])),
]);
const POINTS = 27;
const STRETCH = 2048;

export class FaceNetwork {
  /** @type {Map<string, Layer>} */
  #layers = new Map();

  /** @param {Bytes} file faces.bin */
  constructor(file) {
    const numbers = singles(file);
    let at = 0;
    /**
     * @param {string} name
     * @param {number} count
     * @param {number} outputs
     */
    const read = (name, count, outputs) => {
      const weights = numbers.subarray(at, at + count);
      const bias = numbers.subarray(at + count, at + count + outputs);
      at += count + outputs;
      this.#layers.set(name, { weights, bias });
    };
    read("points", POINTS * 16, 16);
    for (const [name, inputs, outputs] of PAIRS) {
      read(`${name} points`, inputs * outputs, outputs);
      read(`${name} around`, 9 * outputs, outputs);
    }
    if (at !== numbers.length) throw new RangeError("another file than faces.bin");
  }

  /**
   * The faces with a score of at least `least`, the surest first.
   *
   * @param {Uint8ClampedArray} rgba
   * @param {number} width
   * @param {number} height
   * @param {number} least
   * @returns {Face[]}
   */
  find(rgba, width, height, least) {
    const levels = this.#features(rgba, width, height);
    const found = levels.flatMap((features, level) => this.#facesIn(features, level, least));
    return bestOf(found);
  }

  /**
   * @param {Uint8ClampedArray} rgba
   * @param {number} width
   * @param {number} height
   */
  #features(rgba, width, height) {
    let features = this.#points(around(rgba, width, height), "points", true);
    features = halved(this.#pair(features, "first"));
    /** @type {Planes[]} */
    const levels = [];
    STAGES.forEach((_, stage) => {
      features = this.#pair(this.#pair(features, `stage${stage}a`), `stage${stage}b`);
      if (stage >= 2) levels.push(features);
      if (stage >= 1 && stage <= 3) features = halved(features);
    });
    levels[2] = this.#pair(levels[2], "neck2");
    for (const level of [1, 0]) levels[level] = this.#pair(withWider(levels[level], levels[level + 1]), `neck${level}`);
    return levels;
  }

  /**
   * @param {Planes} features
   * @param {number} level
   * @param {number} least
   */
  #facesIn(features, level, least) {
    const stride = STRIDES_PX[level];
    const [cls, obj] = ["cls", "obj"].map((head) => this.#pair(features, head + level, false).data);
    const { columns } = features;
    const size = features.rows * columns;
    /** @type {Face[]} */
    const found = [];
    /** @type {Float32Array | undefined} */
    let boxes;
    for (let i = 0; i < size; i++) {
      const score = Math.sqrt(probability(cls[i]) * probability(obj[i]));
      if (!(score >= least)) continue;
      boxes ??= this.#pair(features, `bbox${level}`, false).data;
      const x = (boxes[i] + (i % columns)) * stride;
      const y = (boxes[size + i] + Math.floor(i / columns)) * stride;
      const [across, down] = [2, 3].map(
        (side) => (Math.exp(Math.min(boxes?.[side * size + i] ?? 0, LARGEST_LOGIT)) * stride) / 2,
      );
      found.push({ score, left: x - across, top: y - down, right: x + across, bottom: y + down });
    }
    return found;
  }

  /**
   * One convolution of single pixels and one of 3 × 3 in each channel.
   *
   * @param {Planes} features
   * @param {string} name
   * @param {boolean} [isBounded] true if nothing below zero leaves
   */
  #pair(features, name, isBounded = true) {
    const points = this.#points(features, `${name} points`, false);
    const { weights, bias } = /** @type {Layer} */ (this.#layers.get(`${name} around`));
    const { rows, columns, channels } = points;
    const made = new Float32Array(points.data.length);
    for (let channel = 0; channel < channels; channel++) {
      const kernel = Array.from({ length: 9 }, (_, i) => weights[i * channels + channel]);
      const start = channel * rows * columns;
      const end = start + rows * columns;
      depthwise(points.data.subarray(start, end), made.subarray(start, end), rows, columns, kernel, bias[channel]);
    }
    if (isBounded) bound(made);
    return { ...points, data: made };
  }

  /**
   * @param {Planes} features
   * @param {string} name
   * @param {boolean} isBounded
   * @returns {Planes}
   */
  #points({ data, rows, columns, channels }, name, isBounded) {
    const { weights, bias } = /** @type {Layer} */ (this.#layers.get(name));
    const size = rows * columns;
    const made = new Float32Array(bias.length * size);
    // A stretch of all planes fits into the processor's cache.
    for (let first = 0; first < size; first += STRETCH) {
      const last = Math.min(size, first + STRETCH);
      /** @param {number} i */
      const plane = (i) => data.subarray(i * size + first, i * size + last);
      const planes = Array.from({ length: channels }, (_, i) => plane(i));
      for (let output = 0; output < bias.length; output++) {
        const own = made.subarray(output * size + first, output * size + last).fill(bias[output]);
        const start = output * channels;
        let input = 0;
        for (; input + 8 <= channels; input += 8) addEight(own, planes, input, weights, start + input);
        for (; input < channels; input++) addOne(own, planes[input], weights[start + input]);
      }
    }
    if (isBounded) bound(made);
    return { data: made, rows, columns, channels: bias.length };
  }
}

/**
 * The surest of faces that overlap.
 *
 * @param {Face[]} found
 */
export function bestOf(found) {
  /** @type {Face[]} */
  const kept = [];
  for (const face of [...found].sort((one, other) => other.score - one.score))
    if (kept.every((other) => overlap(face, other) <= MOST_OVERLAP)) kept.push(face);
  return kept;
}

/**
 * Intersection over union.
 *
 * @param {Face} one
 * @param {Face} other
 */
function overlap(one, other) {
  const width = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  const height = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  if (width <= 0 || height <= 0) return 0;
  /** @param {Face} face */
  const size = ({ left, top, right, bottom }) => (right - left) * (bottom - top);
  return (width * height) / (size(one) + size(other) - width * height);
}

/** @param {number} logit */
const probability = (logit) => 1 / (1 + Math.exp(-Math.min(Math.max(logit, -LARGEST_LOGIT), LARGEST_LOGIT)));

/**
 * The nine neighbours of each second pixel of each second row, in blue, green and red: 27 planes. Zero beyond the rim.
 *
 * @param {Uint8ClampedArray} rgba
 * @param {number} width
 * @param {number} height
 * @returns {Planes}
 */
function around(rgba, width, height) {
  const [rows, columns] = [height, width].map((side) => (Math.ceil(side / PAD_PX) * PAD_PX) / 2);
  const size = rows * columns;
  const data = new Float32Array(POINTS * size);
  for (let neighbour = 0; neighbour < 9; neighbour++) {
    const [down, right] = [Math.floor(neighbour / 3) - 1, (neighbour % 3) - 1];
    for (let row = 0; row < rows; row++) {
      const y = row * 2 + down;
      if (y < 0 || y >= height) continue;
      for (let column = 0; column < columns; column++) {
        const x = column * 2 + right;
        if (x < 0 || x >= width) continue;
        const from = (y * width + x) * 4;
        const to = neighbour * 3 * size + row * columns + column;
        data[to] = rgba[from + 2];
        data[to + size] = rgba[from + 1];
        data[to + 2 * size] = rgba[from];
      }
    }
  }
  return { data, rows, columns, channels: POINTS };
}

/**
 * @param {Float32Array} sum
 * @param {Float32Array[]} planes
 * @param {number} first
 * @param {Float32Array} weights
 * @param {number} at
 */
function addEight(sum, planes, first, weights, at) {
  const [a, b, c, d, e, f, g, h] = planes.slice(first, first + 8);
  const [p, q, r, s, t, u, v, w] = weights.subarray(at, at + 8);
  for (let i = 0; i < sum.length; i++)
    sum[i] += p * a[i] + q * b[i] + r * c[i] + s * d[i] + t * e[i] + u * f[i] + v * g[i] + w * h[i];
}

/**
 * @param {Float32Array} sum
 * @param {Float32Array} plane
 * @param {number} weight
 */
function addOne(sum, plane, weight) {
  for (let i = 0; i < sum.length; i++) sum[i] += weight * plane[i];
}

/**
 * @param {Float32Array} from
 * @param {Float32Array} to
 * @param {number} rows
 * @param {number} columns
 * @param {number[]} kernel
 * @param {number} bias
 */
function depthwise(from, to, rows, columns, kernel, bias) {
  const [a, b, c, d, e, f, g, h, k] = kernel;
  const empty = new Float32Array(columns);
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    const above = row ? from.subarray(start - columns, start) : empty;
    const here = from.subarray(start, start + columns);
    const below = row + 1 < rows ? from.subarray(start + columns, start + 2 * columns) : empty;
    let [p, q, r] = [0, 0, 0];
    let [s, t, u] = [above[0], here[0], below[0]];
    for (let i = 0; i < columns; i++) {
      const isLast = i + 1 === columns;
      const [v, w, x] = [isLast ? 0 : above[i + 1], isLast ? 0 : here[i + 1], isLast ? 0 : below[i + 1]];
      to[start + i] = bias + a * p + b * s + c * v + d * q + e * t + f * w + g * r + h * u + k * x;
      p = s;
      q = t;
      r = u;
      s = v;
      t = w;
      u = x;
    }
  }
}

/** @param {Float32Array} data */
function bound(data) {
  for (let i = 0; i < data.length; i++) if (data[i] < 0) data[i] = 0;
}

/**
 * The greatest of each 2 × 2 pixels.
 *
 * @param {Planes} features
 * @returns {Planes}
 */
function halved({ data, rows, columns, channels }) {
  const [down, across] = [rows / 2, columns / 2];
  const made = new Float32Array(channels * down * across);
  let to = 0;
  for (let row = 0; row < channels * down; row++)
    for (let column = 0; column < across; column++) {
      const at = row * 2 * columns + column * 2;
      made[to++] = Math.max(data[at], data[at + 1], data[at + columns], data[at + columns + 1]);
    }
  return { data: made, rows: down, columns: across, channels };
}

/**
 * Features plus those of half the size, each of which counts for 2 × 2.
 *
 * @param {Planes} features
 * @param {Planes} small
 * @returns {Planes}
 */
function withWider({ data, rows, columns, channels }, small) {
  const made = data.slice();
  for (let row = 0; row < channels * rows; row++) {
    const from = Math.floor(row / rows) * small.rows * small.columns + ((row % rows) >> 1) * small.columns;
    for (let column = 0; column < columns; column++) made[row * columns + column] += small.data[from + (column >> 1)];
  }
  return { data: made, rows, columns, channels };
}

/**
 * Numbers of half precision, little endian.
 *
 * @param {Bytes} file
 */
function singles(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  return Float32Array.from({ length: file.length >> 1 }, (_, i) => {
    const bits = view.getUint16(2 * i, true);
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
    return bits >> 15 ? -size : size;
  });
}

// Encodes pictures as H.264 without loss, in plain JavaScript, because WebCodecs offers no such setting. Each decoded
// value is the one that was given. The output depends on the pictures alone, and each browser writes the same bytes.
//
// A macroblock stays as in the picture before, or is coded as differences: to the picture before, or of each pixel to
// the one above or to the left of it. If its differences take more bytes than its pixels, it is written as pixels.
// The page loads this file only if an owner asks for it.
// Source: ITU-T H.264, the profile High 4:4:4 Predictive with pictures of 4:2:0 and `qpprime_y_zero_transform_bypass`.
import { concat } from "../wire/bytes.js";
import { BitWriter, COLOUR, writeBlock } from "./cavlc.js";

export { signalOf } from "./video_signal.js";

/** @import { Bytes } from "../types.js" */
/** @import { Planes } from "./decoded.js" */
/**
 * @typedef {{ isFullRange: boolean, namesSquare: boolean, colours?: number[] }} Signal how the recorded film says that
 *   its pictures are shown: `namesSquare` if it says that pixels are square, `colours`: primaries, transfer and matrix
 */

const PROFILE = 244;
const [SLICE_OF_KEYFRAME, SLICE, SEQUENCE, PICTURE] = [0x65, 0x41, 0x67, 0x68];
const FRAME_NUMBER_BITS = 8;
/** Places of a 4 × 4 block in the order of its scan (figure 6-12). */
const SCAN = [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15];
/** Column and row of each block of 4 × 4 pixels of a macroblock, in the order of their codes (figure 6-10). */
const BLOCKS = Array.from({ length: 16 }, (_, i) => [(i & 1) + ((i >> 1) & 2), ((i >> 1) & 1) + ((i >> 2) & 2)]);
/** Patterns of coded quarters of an inter macroblock, by their code (`coded_block_pattern`, table 9-4). */
const PATTERNS = [
  0, 16, 1, 2, 4, 8, 32, 3, 5, 10, 12, 15, 47, 7, 11, 13, 14, 6, 9, 31, 35, 37, 42, 44, 33, 34, 36, 40, 39, 43, 45, 46,
  17, 18, 20, 24, 19, 21, 26, 28, 23, 27, 29, 30, 22, 25, 38, 41,
];
/** Types of macroblocks in a slice of a keyframe. In others, intra types come after the five of inter. */
const [INTRA_16, PIXELS, INTRA_IN_OTHERS] = [1, 25, 5];
const PIXEL_BITS = 384 * 8;
/** How a macroblock is predicted. The first three are the numbers of its modes for brightness. */
const [ABOVE, LEFT, GREY, BEFORE] = [0, 1, 2, 3];
/** The numbers of the same modes for colours. */
const COLOUR_MODES = [2, 1, 0];

/** One plane of a picture, its size a multiple of its blocks. */
class Plane {
  /**
   * @param {number} width
   * @param {number} height
   */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.values = new Uint8Array(width * height);
  }

  /**
   * Copies a picture, and repeats its last column and row up to the end of the last block.
   *
   * @param {Bytes} values
   * @param {number} width
   * @param {number} height
   */
  take(values, width, height) {
    for (let y = 0; y < this.height; y++) {
      const row = Math.min(y, height - 1) * width;
      this.values.set(values.subarray(row, row + width), y * this.width);
      this.values.fill(values[row + width - 1], y * this.width + width, (y + 1) * this.width);
    }
  }
}

/** `add` each picture in order, then `finish`. */
export class LosslessEncoder {
  #size;
  #across;
  #down;
  #configuration;
  /** @type {{ data: Bytes, isKey: boolean }[]} */
  #samples = [];
  #now;
  #before;
  #frameNumber = 0;
  #keys = 0;
  #bits = new BitWriter();
  #skipped = 0;
  /** For brightness and each colour, how many values of each block of 4 × 4 pixels differ from zero. */
  #counts;
  /** Differences of a macroblock: 16 × 16, and twice 8 × 8. */
  #differences = [new Int16Array(256), new Int16Array(64), new Int16Array(64)];
  #block = new Int16Array(16);

  /**
   * @param {{ width: number, height: number, level: number, signal: Signal }} film `width` and `height` in pixels, both
   *   even
   */
  constructor({ width, height, level, signal }) {
    const [across, down] = [Math.ceil(width / 16), Math.ceil(height / 16)];
    this.#size = { width, height };
    this.#across = across;
    this.#down = down;
    this.#configuration = configurationOf({ width, height, across, down, level, signal });
    const planes = () => [16, 8, 8].map((size) => new Plane(across * size, down * size));
    this.#now = planes();
    this.#before = planes();
    this.#counts = [4, 2, 2].map((size) => new Uint8Array(across * size * down * size));
  }

  /**
   * @param {Planes} picture of the same size as all others
   * @param {{ isKey: boolean }} options
   */
  add({ planes }, { isKey }) {
    const { width, height } = this.#size;
    for (const [i, plane] of this.#now.entries()) {
      const share = i ? 2 : 1;
      plane.take(planes[i], width / share, height / share);
    }
    const starts = isKey || this.#samples.length === 0;
    if (starts) this.#frameNumber = 0;
    this.#begin(starts);
    for (let row = 0; row < this.#down; row++)
      for (let column = 0; column < this.#across; column++) this.#macroblock(column, row, starts);
    if (this.#skipped) this.#bits.unsigned(this.#skipped);
    this.#samples.push({ data: withLength(this.#bits.unit(starts ? SLICE_OF_KEYFRAME : SLICE)), isKey: starts });
    [this.#now, this.#before] = [this.#before, this.#now];
    this.#frameNumber = (this.#frameNumber + 1) % (1 << FRAME_NUMBER_BITS);
  }

  /** The samples of the film and the body of its `avcC`. */
  finish() {
    return { samples: this.#samples, configuration: this.#configuration };
  }

  /** @param {boolean} isKey */
  #begin(isKey) {
    const bits = new BitWriter();
    this.#bits = bits;
    this.#skipped = 0;
    for (const counts of this.#counts) counts.fill(0);
    bits.unsigned(0); // the first macroblock
    bits.unsigned(isKey ? 7 : 5); // I or P, as all slices of the picture
    bits.unsigned(0); // parameter set
    bits.put(this.#frameNumber, FRAME_NUMBER_BITS);
    if (isKey) {
      bits.unsigned(this.#keys++ % 2); // two keyframes in a row have different numbers
      bits.put(0, 2); // earlier pictures are shown, and this is no long-term reference
    } else bits.put(0, 3); // one reference, in its usual order, and pictures leave in the order in which they came
    bits.signed(0); // quantiser
    bits.unsigned(1); // no deblocking
  }

  /**
   * @param {number} column
   * @param {number} row
   * @param {boolean} isKey
   */
  #macroblock(column, row, isKey) {
    if (!isKey && this.#isAsBefore(column, row)) {
      this.#skipped++;
      return;
    }
    const mode = this.#bestMode(column, row, isKey);
    for (let i = 0; i < 3; i++) this.#subtract(i, column, row, mode);
    const bits = this.#bits;
    if (!isKey) bits.unsigned(this.#skipped);
    this.#skipped = 0;
    const mark = bits.mark();
    const begin = bits.size;
    this.#write(column, row, mode, isKey);
    if (bits.size - begin <= PIXEL_BITS) return;
    bits.restore(mark);
    this.#writePixels(column, row, isKey);
  }

  /**
   * @param {number} column
   * @param {number} row
   */
  #isAsBefore(column, row) {
    return this.#now.every(({ values, width }, i) => {
      const size = i ? 8 : 16;
      const before = this.#before[i].values;
      for (let y = 0; y < size; y++) {
        const start = (row * size + y) * width + column * size;
        for (let at = start; at < start + size; at++) if (values[at] !== before[at]) return false;
      }
      return true;
    });
  }

  /**
   * The way to predict a macroblock that leaves the smallest differences.
   *
   * @param {number} column
   * @param {number} row
   * @param {boolean} isKey
   */
  #bestMode(column, row, isKey) {
    const modes = [...(row ? [ABOVE] : []), ...(column ? [LEFT] : []), ...(isKey ? [] : [BEFORE])];
    let best = GREY;
    let least = Number.POSITIVE_INFINITY;
    for (const mode of modes) {
      let sum = 0;
      for (let i = 0; i < 3; i++) sum += this.#subtract(i, column, row, mode);
      if (sum < least) [best, least] = [mode, sum];
    }
    return best;
  }

  /**
   * Fills the differences of a plane. Returns the sum of their sizes.
   *
   * @param {number} i
   * @param {number} column
   * @param {number} row
   * @param {number} mode
   */
  #subtract(i, column, row, mode) {
    const { values, width } = this.#now[i];
    const size = i ? 8 : 16;
    const from = mode === BEFORE ? this.#before[i].values : values;
    const back = { [LEFT]: 1, [ABOVE]: width }[mode] ?? 0;
    const into = this.#differences[i];
    let sum = 0;
    for (let y = 0, to = 0; y < size; y++) {
      const start = (row * size + y) * width + column * size;
      for (let at = start; at < start + size; at++) {
        const difference = values[at] - (mode === GREY ? 128 : from[at - back]);
        into[to++] = difference;
        sum += difference < 0 ? -difference : difference;
      }
    }
    return sum;
  }

  /**
   * @param {number} column
   * @param {number} row
   * @param {number} mode
   * @param {boolean} isKey
   */
  #write(column, row, mode, isKey) {
    const bits = this.#bits;
    const [luma, ...colours] = this.#differences;
    const colour = Math.max(...colours.map(colourPattern));
    const quarters = lumaPattern(luma);
    const isIntra = mode !== BEFORE;
    if (isIntra) {
      const isCoded = BLOCKS.some(([x, y]) => !isEmpty(luma, x, y, 16, 1));
      bits.unsigned((isKey ? 0 : INTRA_IN_OTHERS) + INTRA_16 + mode + 4 * colour + (isCoded ? 12 : 0));
      bits.unsigned(COLOUR_MODES[mode]);
      bits.signed(0); // quantiser
      for (let at = 0; at < 16; at++) this.#block[at] = luma[(SCAN[at] >> 2) * 64 + (SCAN[at] & 3) * 4];
      writeBlock(bits, this.#block, 0, 16, this.#near(0, column * 4, row * 4));
      this.#writePlane(0, column, row, { from: 1, quarters: isCoded ? 15 : 0 });
    } else {
      bits.unsigned(0); // from the picture before, as one block
      bits.put(3, 2); // without a motion
      bits.unsigned(PATTERNS.indexOf(quarters + 16 * colour));
      if (quarters + colour > 0) bits.signed(0); // quantiser
      this.#writePlane(0, column, row, { from: 0, quarters });
    }
    if (colour > 0)
      for (const plane of colours) {
        for (let at = 0; at < 4; at++) this.#block[at] = plane[(at >> 1) * 32 + (at & 1) * 4];
        writeBlock(bits, this.#block, 0, 4, COLOUR);
      }
    for (const i of [1, 2]) this.#writePlane(i, column, row, { from: 1, quarters: colour > 1 ? 1 : 0 });
  }

  /**
   * Writes the blocks of a plane.
   *
   * @param {number} i
   * @param {number} column
   * @param {number} row
   * @param {{ from: number, quarters: number }} options `from`: 1 if the first values of the blocks are written
   *   elsewhere. `quarters`: a bit for each quarter of the macroblock that is coded, for colours 1 for the whole
   */
  #writePlane(i, column, row, { from, quarters }) {
    const [width, blocks] = i ? [8, 2] : [16, 4];
    const counts = this.#counts[i];
    for (let number = 0; number < blocks * blocks; number++) {
      const [x, y] = BLOCKS[number];
      const [left, top] = [column * blocks + x, row * blocks + y];
      let count = 0;
      if (quarters & (1 << (number >> 2))) {
        const start = y * 4 * width + x * 4;
        const plane = this.#differences[i];
        for (let at = from; at < 16; at++) this.#block[at] = plane[start + (SCAN[at] >> 2) * width + (SCAN[at] & 3)];
        count = writeBlock(this.#bits, this.#block, from, 16, this.#near(i, left, top));
      }
      counts[top * this.#across * blocks + left] = count;
    }
  }

  /**
   * The nC of a block: how many values its neighbours have.
   *
   * @param {number} i
   * @param {number} left
   * @param {number} top
   */
  #near(i, left, top) {
    const counts = this.#counts[i];
    const width = this.#across * (i ? 2 : 4);
    const at = top * width + left;
    if (left && top) return (counts[at - 1] + counts[at - width] + 1) >> 1;
    if (left) return counts[at - 1];
    return top ? counts[at - width] : 0;
  }

  /**
   * @param {number} column
   * @param {number} row
   * @param {boolean} isKey
   */
  #writePixels(column, row, isKey) {
    const bits = this.#bits;
    bits.unsigned((isKey ? 0 : INTRA_IN_OTHERS) + PIXELS);
    bits.align();
    for (const [i, { values, width }] of this.#now.entries()) {
      const size = i ? 8 : 16;
      const [blocks, counts] = [size / 4, this.#counts[i]];
      for (let y = 0; y < size; y++) {
        const start = (row * size + y) * width + column * size;
        bits.bytes(values.subarray(start, start + size));
      }
      for (let y = 0; y < blocks; y++) {
        const start = (row * blocks + y) * this.#across * blocks + column * blocks;
        counts.fill(16, start, start + blocks);
      }
    }
  }
}

/**
 * Whether all values of a block are zero.
 *
 * @param {Int16Array} plane
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} from 1 to leave out the first value
 */
function isEmpty(plane, x, y, width, from) {
  const start = y * 4 * width + x * 4;
  for (let at = from; at < 16; at++) if (plane[start + (SCAN[at] >> 2) * width + (SCAN[at] & 3)]) return false;
  return true;
}

/** @param {Int16Array} luma a bit for each quarter that has a value */
const lumaPattern = (luma) =>
  BLOCKS.reduce((found, [x, y], i) => (isEmpty(luma, x, y, 16, 0) ? found : found | (1 << (i >> 2))), 0);

/** @param {Int16Array} plane 2 if a block has more than its first value, 1 if one has that, 0 if all are zero */
function colourPattern(plane) {
  const blocks = BLOCKS.slice(0, 4);
  if (blocks.some(([x, y]) => !isEmpty(plane, x, y, 8, 1))) return 2;
  return blocks.some(([x, y]) => plane[y * 32 + x * 4]) ? 1 : 0;
}

/** @param {Bytes} unit */
const withLength = (unit) => concat(lengthOf(unit, 4), unit);

/**
 * @param {Bytes} unit
 * @param {number} bytes
 */
const lengthOf = (unit, bytes) => Uint8Array.from({ length: bytes }, (_, i) => unit.length >>> (8 * (bytes - 1 - i)));

/**
 * The body of `avcC`.
 *
 * @param {{ width: number, height: number, across: number, down: number, level: number, signal: Signal }} film
 */
function configurationOf({ level, ...film }) {
  const [sequence, picture] = [sequenceOf({ level, ...film }), pictureOf()];
  return concat(
    Uint8Array.of(1, PROFILE, 0, level, 0xff, 0xe1),
    lengthOf(sequence, 2),
    sequence,
    Uint8Array.of(1),
    lengthOf(picture, 2),
    picture,
    Uint8Array.of(0xfd, 0xf8, 0xf8, 0), // 4:2:0 with 8 bits
  );
}

/** @param {{ width: number, height: number, across: number, down: number, level: number, signal: Signal }} film */
function sequenceOf({ width, height, across, down, level, signal }) {
  const bits = new BitWriter();
  for (const byte of [PROFILE, 0, level]) bits.put(byte, 8);
  bits.unsigned(0); // this parameter set
  bits.unsigned(1); // 4:2:0
  bits.unsigned(0); // 8 bits of brightness
  bits.unsigned(0); // and of colour
  bits.put(0b10, 2); // without a transform at quantiser 0, without scaling lists
  bits.unsigned(FRAME_NUMBER_BITS - 4);
  bits.unsigned(2); // pictures are shown in the order in which they are coded
  bits.unsigned(1); // one reference
  bits.put(0, 1); // no gaps
  bits.unsigned(across - 1);
  bits.unsigned(down - 1);
  bits.put(0b11, 2); // whole pictures
  const [right, bottom] = [across * 16 - width, down * 16 - height];
  bits.put(right || bottom ? 1 : 0, 1);
  if (right || bottom) for (const rim of [0, right / 2, 0, bottom / 2]) bits.unsigned(rim);
  bits.put(1, 1); // how it is shown
  // A player that joins this film with recorded ones prepares for pictures without loss if the aspect changes, too. So
  // square pixels are written in the other one of two ways (docs/decisions/0083-exact-films.md).
  if (signal.namesSquare) bits.put(0, 1);
  else bits.put(0x101, 9);
  bits.put(0b01, 2); // no overscan
  bits.put(5, 3); // of no broadcast format
  bits.put(signal.isFullRange ? 1 : 0, 1);
  bits.put(signal.colours ? 1 : 0, 1);
  for (const each of signal.colours ?? []) bits.put(each, 8);
  bits.put(0, 5); // no place of colours, clock, buffer or field
  bits.put(0b11, 2); // the order of pictures is the one in which they are coded
  for (const each of [0, 0, 10, 10, 0, 1]) bits.unsigned(each);
  return bits.unit(SEQUENCE);
}

function pictureOf() {
  const bits = new BitWriter();
  bits.unsigned(0); // this parameter set
  bits.unsigned(0); // of that sequence
  bits.put(0, 2); // CAVLC
  for (let i = 0; i < 3; i++) bits.unsigned(0); // one group of slices, one reference
  bits.put(0, 3); // no weights
  bits.signed(-26); // quantiser 0
  bits.signed(0);
  bits.signed(0);
  bits.put(0b100, 3); // slices say whether they are deblocked
  return bits.unit(PICTURE);
}

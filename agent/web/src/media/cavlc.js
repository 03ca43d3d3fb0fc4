// Writes bits, and blocks of values as H.264 codes them with context-adaptive variable lengths.
// Source: ITU-T H.264, 7.2 (codes), 7.3.5.3.2 and 9.2 (CAVLC).

/** @import { Bytes } from "../types.js" */

/** @typedef {{ value: number, bits: number }} Code */

/** @param {string} row codes as bits, with spaces between them */
const codes = (row) => row.split(" ").map((each) => ({ value: Number.parseInt(each, 2), bits: each.length }));

/** `coeff_token` (table 9-5) for nC of 0 or 1, 2 or 3, 4 to 7. */
const TOKENS = [
  "1 000101 01 00000111 000100 001 000000111 00000110 0000101 00011 0000000111 000000110 00000101 000011 " +
    "00000000111 0000000110 000000101 0000100 0000000001111 00000000110 0000000101 00000100 0000000001011 " +
    "0000000001110 00000000101 000000100 0000000001000 0000000001010 0000000001101 0000000100 00000000001111 " +
    "00000000001110 0000000001001 00000000100 00000000001011 00000000001010 00000000001101 0000000001100 " +
    "000000000001111 000000000001110 00000000001001 00000000001100 000000000001011 000000000001010 " +
    "000000000001101 00000000001000 0000000000001111 000000000000001 000000000001001 000000000001100 " +
    "0000000000001011 0000000000001110 0000000000001101 000000000001000 0000000000000111 0000000000001010 " +
    "0000000000001001 0000000000001100 0000000000000100 0000000000000110 0000000000000101 0000000000001000",
  "11 001011 10 000111 00111 011 0000111 001010 001001 0101 00000111 000110 000101 0100 00000100 0000110 " +
    "0000101 00110 000000111 00000110 00000101 001000 00000001111 000000110 000000101 000100 00000001011 " +
    "00000001110 00000001101 0000100 000000001111 00000001010 00000001001 000000100 000000001011 000000001110 " +
    "000000001101 00000001100 000000001000 000000001010 000000001001 00000001000 0000000001111 0000000001110 " +
    "0000000001101 000000001100 0000000001011 0000000001010 0000000001001 0000000001100 0000000000111 " +
    "00000000001011 0000000000110 0000000001000 00000000001001 00000000001000 00000000001010 0000000000001 " +
    "00000000000111 00000000000110 00000000000101 00000000000100",
  "1111 001111 1110 001011 01111 1101 001000 01100 01110 1100 0001111 01010 01011 1011 0001011 01000 01001 " +
    "1010 0001001 001110 001101 1001 0001000 001010 001001 1000 00001111 0001110 0001101 01101 00001011 " +
    "00001110 0001010 001100 000001111 00001010 00001101 0001100 000001011 000001110 00001001 00001100 " +
    "000001000 000001010 000001101 00001000 0000001101 000000111 000001001 000001100 0000001001 0000001100 " +
    "0000001011 0000001010 0000000101 0000001000 0000000111 0000000110 0000000001 0000000100 0000000011 " +
    "0000000010",
].map(codes);
/** The same for the first values of the four blocks of a colour (nC of -1). */
const TOKENS_OF_COLOUR = [
  "01 000111 1 000100 000110 001 000011 0000011 0000010 000101 000010 00000011 00000010 0000000",
].map(codes);
/** `total_zeros` (tables 9-7 and 9-8) of blocks with 1 to 15 values. */
const ZEROS = [
  "1 011 010 0011 0010 00011 00010 000011 000010 0000011 0000010 00000011 00000010 000000011 000000010 " + "000000001",
  "111 110 101 100 011 0101 0100 0011 0010 00011 00010 000011 000010 000001 000000",
  "0101 111 110 101 0100 0011 100 011 0010 00011 00010 000001 00001 000000",
  "00011 111 0101 0100 110 101 100 0011 011 0010 00010 00001 00000",
  "0101 0100 0011 111 110 101 100 011 0010 00001 0001 00000",
  "000001 00001 111 110 101 100 011 010 0001 001 000000",
  "000001 00001 101 100 011 11 010 0001 001 000000",
  "000001 0001 00001 011 11 10 010 001 000000",
  "000001 000000 0001 11 10 001 01 00001",
  "00001 00000 001 11 10 01 0001",
  "0000 0001 001 010 1 011",
  "0000 0001 01 1 001",
  "000 001 1 01",
  "00 01 1",
  "0 1",
].map(codes);
/** The same for the first values of the four blocks of a colour (table 9-9). */
const ZEROS_OF_COLOUR = ["1 01 001 000", "1 01 00", "1 0"].map(codes);
/** `run_before` (table 9-10) if 1 to 6 zeros are left, or more. */
const RUNS = [
  "1 0",
  "1 01 00",
  "11 10 01 00",
  "11 10 01 001 000",
  "11 10 011 010 001 000",
  "11 000 001 011 010 101 100",
  "111 110 101 100 011 010 001 0001 00001 000001 0000001 00000001 000000001 0000000001 00000000001",
].map(codes);

/** Codes of `TOKENS` begin here for each number of values, with one for each number of trailing ones. */
const TOKEN_AT = Array.from({ length: 17 }, (_, total) => [0, 1, 3][total] ?? 4 * total - 6);
/** From this nC on, a token has six bits. */
const FIXED_FROM = 8;
/** nC of the first values of a colour's four blocks. */
export const COLOUR = -1;

export class BitWriter {
  #bytes = new Uint8Array(1 << 16);
  #length = 0;
  #held = 0;
  #heldBits = 0;

  /** Bits that were written. */
  get size() {
    return 8 * this.#length + this.#heldBits;
  }

  /**
   * @param {number} value
   * @param {number} bits 24 at most
   */
  put(value, bits) {
    // Held in a field, a number of 31 bits would be an object in browsers, and this is the innermost step.
    const held = (this.#held << bits) | value;
    let left = this.#heldBits + bits;
    while (left >= 8) {
      left -= 8;
      if (this.#length === this.#bytes.length) this.#grow(2 * this.#length);
      this.#bytes[this.#length++] = held >>> left;
    }
    this.#heldBits = left;
    this.#held = held & ((1 << left) - 1);
  }

  /** @param {number} value 0 to 2^23 */
  unsigned(value) {
    const bits = 31 - Math.clz32(value + 1);
    this.put(0, bits);
    this.put(value + 1, bits + 1);
  }

  /** @param {number} value */
  signed(value) {
    this.unsigned(value > 0 ? 2 * value - 1 : -2 * value);
  }

  /** Zeros up to the next byte. */
  align() {
    this.put(0, (8 - this.#heldBits) % 8);
  }

  /** @param {ArrayLike<number>} bytes after `align` */
  bytes(bytes) {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(2 * (this.#length + bytes.length));
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** This place, for `restore`. */
  mark() {
    return [this.#length, this.#held, this.#heldBits];
  }

  /** @param {number[]} mark */
  restore([length, held, heldBits]) {
    [this.#length, this.#held, this.#heldBits] = [length, held, heldBits];
  }

  /**
   * A NAL unit: its header, what was written, a one and zeros. A three is put where the content looks like a start
   * code.
   *
   * @param {number} header
   * @returns {Bytes}
   */
  unit(header) {
    this.put(1, 1);
    this.align();
    const made = new Uint8Array(2 + Math.ceil(1.5 * this.#length));
    made[0] = header;
    let at = 1;
    let zeros = 0;
    for (const byte of this.#bytes.subarray(0, this.#length)) {
      if (zeros === 2 && byte <= 3) {
        made[at++] = 3;
        zeros = 0;
      }
      made[at++] = byte;
      zeros = byte === 0 ? zeros + 1 : 0;
    }
    return made.slice(0, at);
  }

  /** @param {number} size */
  #grow(size) {
    const larger = new Uint8Array(size);
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

const levels = new Int32Array(16);
const runs = new Int32Array(16);

/**
 * Writes a block of values. Returns how many of them differ from zero.
 *
 * @param {BitWriter} to
 * @param {Int16Array} values in the order of the scan
 * @param {number} from the first one that is written
 * @param {number} until
 * @param {number} nC by the blocks to the left and above, or `COLOUR`
 */
export function writeBlock(to, values, from, until, nC) {
  const { total, zeros } = collect(values, from, until);
  let ones = 0;
  while (ones < Math.min(3, total) && Math.abs(levels[ones]) === 1) ones++;
  writeToken(to, total, ones, nC);
  if (total === 0) return 0;
  for (let i = 0; i < ones; i++) to.put(levels[i] < 0 ? 1 : 0, 1);
  writeLevels(to, total, ones);
  const most = until - from;
  if (total < most) put(to, (most === 4 ? ZEROS_OF_COLOUR : ZEROS)[total - 1][zeros]);
  for (let i = 0, left = zeros; i < total - 1 && left > 0; i++) {
    put(to, RUNS[Math.min(left, 7) - 1][runs[i]]);
    left -= runs[i];
  }
  return total;
}

/**
 * Collects the values that differ from zero from the last to the first, and the zeros before each.
 *
 * @param {Int16Array} values
 * @param {number} from
 * @param {number} until
 */
function collect(values, from, until) {
  let total = 0;
  let zeros = 0;
  for (let i = until - 1; i >= from; i--) {
    if (values[i] !== 0) {
      levels[total] = values[i];
      runs[total++] = 0;
    } else if (total > 0) {
      runs[total - 1]++;
      zeros++;
    }
  }
  return { total, zeros };
}

/**
 * @param {BitWriter} to
 * @param {number} total
 * @param {number} ones
 * @param {number} nC
 */
function writeToken(to, total, ones, nC) {
  const at = TOKEN_AT[total] + ones;
  if (nC === COLOUR) put(to, TOKENS_OF_COLOUR[0][at]);
  else if (nC >= FIXED_FROM) to.put(total === 0 ? 3 : ((total - 1) << 2) | ones, 6);
  else put(to, TOKENS[nC >> 1 > 1 ? 2 : nC >> 1][at]);
}

/**
 * @param {BitWriter} to
 * @param {number} total
 * @param {number} ones
 */
function writeLevels(to, total, ones) {
  let length = total > 10 && ones < 3 ? 1 : 0;
  for (let i = ones; i < total; i++) {
    const level = levels[i];
    let code = level > 0 ? 2 * level - 2 : -2 * level - 1;
    // A value of ±1 here would be a trailing one, so the codes of this place begin with ±2 (9.2.2).
    if (i === ones && ones < 3) code -= 2;
    writeLevel(to, code, length);
    if (length === 0) length = 1;
    if (Math.abs(level) > 3 << (length - 1) && length < 6) length++;
  }
}

/**
 * @param {BitWriter} to
 * @param {number} code
 * @param {number} length of the suffix
 */
function writeLevel(to, code, length) {
  // Only without a suffix has the prefix of 14 zeros four more bits (9.2.2).
  if (length === 0 && code >= 14 && code < 30) {
    to.put(1, 15);
    to.put(code - 14, 4);
    return;
  }
  const first = length === 0 ? 30 : 15 << length; // the first code that has a suffix of 12 bits
  if (code >= first) {
    to.put(1, 16);
    to.put(code - first, 12);
    return;
  }
  to.put(1, (code >> length) + 1);
  to.put(code & ((1 << length) - 1), length);
}

/**
 * @param {BitWriter} to
 * @param {Code} code
 */
const put = (to, { value, bits }) => to.put(value, bits);

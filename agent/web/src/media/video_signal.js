// How a recorded film says that its pictures are shown: the colours as a decoder reports them, and whether the film
// itself names square pixels. Source: ITU-T H.264, 7.3.2.1 and annex E; code points of ITU-T H.273.

/** @import { Bytes } from "../types.js" */
/** @import { Signal } from "./lossless_encoder.js" */

const UNKNOWN = 2;
/** @type {Record<string, number>} */
const PRIMARIES = { bt709: 1, bt470bg: 5, smpte170m: 6, bt2020: 9, smpte432: 12 };
/** @type {Record<string, number>} */
const TRANSFERS = { bt709: 1, smpte170m: 6, linear: 8, "iec61966-2-1": 13, pq: 16, hlg: 18 };
/** @type {Record<string, number>} */
const MATRICES = { rgb: 0, bt709: 1, bt470bg: 5, smpte170m: 6, "bt2020-ncl": 9 };
/** Profiles with parameters for colours and scaling. */
const WITH_COLOURS = [100, 110, 122, 244, 44, 83, 86, 118, 128];
const SQUARE = 1;

/**
 * @param {VideoColorSpaceInit} colorSpace of a decoded picture
 * @param {{ codec: string, description: Bytes }} film
 * @returns {Signal}
 */
export function signalOf({ primaries, transfer, matrix, fullRange }, { codec, description }) {
  const colours = [
    PRIMARIES[primaries ?? ""] ?? UNKNOWN,
    TRANSFERS[transfer ?? ""] ?? UNKNOWN,
    MATRICES[matrix ?? ""] ?? UNKNOWN,
  ];
  return {
    isFullRange: fullRange ?? false,
    namesSquare: codec.startsWith("avc") && namesSquarePixels(description),
    colours: colours.some((each) => each !== UNKNOWN) ? colours : undefined,
  };
}

/**
 * Whether the parameters of a film in H.264 say that its pixels are square. False if they do not say it.
 *
 * @param {Bytes} record the body of `avcC`
 */
export function namesSquarePixels(record) {
  const length = (record[6] << 8) | record[7];
  const bits = new Bits(record.subarray(8, 8 + length));
  bits.take(8);
  const profile = bits.take(8);
  bits.take(16);
  bits.unsigned();
  if (WITH_COLOURS.includes(profile)) skipColours(bits);
  bits.unsigned();
  skipOrder(bits);
  bits.unsigned();
  bits.take(1);
  bits.unsigned();
  bits.unsigned();
  if (!bits.take(1)) bits.take(1); // fields
  bits.take(1);
  if (bits.take(1)) for (let i = 0; i < 4; i++) bits.unsigned(); // rims that are cut off
  const isShown = bits.take(1);
  return isShown === 1 && bits.take(1) === 1 && bits.take(8) === SQUARE;
}

/** @param {Bits} bits */
function skipColours(bits) {
  const format = bits.unsigned();
  if (format === 3) bits.take(1);
  bits.unsigned();
  bits.unsigned();
  bits.take(1);
  if (!bits.take(1)) return;
  for (let list = 0; list < (format === 3 ? 12 : 8); list++)
    if (bits.take(1)) {
      let [last, next] = [8, 8];
      for (let i = 0; i < (list < 6 ? 16 : 64); i++) {
        // After a scale of zero, the rest of the list has no bits (7.3.2.1.1.1).
        if (next) next = (last + bits.signed() + 256) % 256;
        if (next) last = next;
      }
    }
}

/** @param {Bits} bits */
function skipOrder(bits) {
  const kind = bits.unsigned();
  if (kind === 0) bits.unsigned();
  if (kind !== 1) return;
  bits.take(1);
  bits.signed();
  bits.signed();
  for (let left = Math.min(255, bits.unsigned()); left > 0; left--) bits.signed();
}

/** Reads bits of a NAL unit. After its end, zeros. */
class Bits {
  #bytes;
  #at = 0;

  /** @param {Bytes} unit */
  constructor(unit) {
    // Without the bytes that keep start codes out of the content (7.4.1).
    this.#bytes = unit.filter((byte, i) => !(i > 1 && byte === 3 && !unit[i - 1] && !unit[i - 2]));
  }

  /** @param {number} count */
  take(count) {
    let value = 0;
    for (let i = 0; i < count; i++, this.#at++)
      value = 2 * value + (((this.#bytes[this.#at >> 3] ?? 0) >> (7 - (this.#at & 7))) & 1);
    return value;
  }

  unsigned() {
    let zeros = 0;
    while (zeros < 32 && !this.take(1)) zeros++;
    return 2 ** zeros - 1 + this.take(zeros);
  }

  signed() {
    const code = this.unsigned();
    return code % 2 ? (code + 1) / 2 : -code / 2;
  }
}

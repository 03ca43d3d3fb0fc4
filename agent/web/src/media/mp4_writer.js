// Writes a fragmented MP4 of one track as the doorbell does (agent/media/fmp4.py): one `moof` and `mdat` for
// each GOP, without a time, a random number or the name of an encoder. The same samples give the same bytes.
// Source: ISO/IEC 14496-12 (boxes), 14496-15 §5 (AVC in MP4).
import { concat } from "../wire/bytes.js";

/** @import { Bytes } from "../types.js" */

export const TICKS_PER_S = 90_000;
const KEYFRAME_FLAGS = 0x0200_0000;
const OTHER_FLAGS = 0x0101_0000;
const TRACK = 1;
const UNDETERMINED_LANGUAGE = 0x55c4;
const UNITY_MATRIX = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
const FULL_VOLUME = 0x0100;

/**
 * @param {string} kind
 * @param {Uint8Array[]} parts
 */
export function box(kind, ...parts) {
  const body = concat(...parts);
  const made = new Uint8Array(8 + body.length);
  new DataView(made.buffer).setUint32(0, made.length);
  for (let i = 0; i < 4; i++) made[4 + i] = kind.charCodeAt(i);
  made.set(body, 8);
  return made;
}

/**
 * A box with a version and flags, from numbers of 32 bits and bytes.
 *
 * @param {string} kind
 * @param {number} flags with the version in their highest byte
 * @param {(number | Uint8Array)[]} parts
 */
export const full = (kind, flags, ...parts) =>
  box(kind, word(flags), ...parts.map((part) => (typeof part === "number" ? word(part) : part)));

/** @param {number} value */
const word = (value) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
/** @param {number[]} values */
const words = (...values) => concat(...values.map(word));
/** @param {number[]} values of 16 bits */
const halves = (...values) => Uint8Array.from(values.flatMap((value) => [value >> 8, value]));
/** @param {string} text */
const ascii = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));

/**
 * `ftyp` and `moov` of a film in H.264.
 *
 * @param {{ width: number, height: number, configuration: Uint8Array }} film `configuration`: the body of `avcC`
 */
export function filmHeader({ width, height, configuration }) {
  const entry = box(
    "avc1",
    concat(new Uint8Array(6), halves(1), new Uint8Array(16), halves(width, height)),
    words(0x48_0000, 0x48_0000, 0),
    concat(halves(1), new Uint8Array(32), halves(24, 0xffff)),
    box("avcC", configuration),
  );
  const [handler, own] = [
    concat(ascii("vide"), new Uint8Array(12), ascii("video\0")),
    full("vmhd", 1, new Uint8Array(8)),
  ];
  return header("iso6iso5isomavc1mp41", TICKS_PER_S, { handler, own, entry, size: [width, height] });
}

/**
 * `ftyp` and `moov` of a sound in AAC.
 *
 * @param {{ rate: number, channels: number, configuration: Uint8Array }} sound `configuration`: AudioSpecificConfig
 */
export function soundHeader({ rate, channels, configuration }) {
  /**
   * @param {number} tag
   * @param {Uint8Array[]} parts
   */
  const descriptor = (tag, ...parts) => {
    const body = concat(...parts);
    return concat(Uint8Array.of(tag, body.length), body);
  };
  const decoder = descriptor(4, Uint8Array.of(0x40, 0x15, 0, 0, 0), words(0, 0), descriptor(5, configuration));
  const stream = descriptor(3, Uint8Array.of(0, 1, 0), decoder, descriptor(6, Uint8Array.of(2)));
  const entry = box(
    "mp4a",
    concat(new Uint8Array(6), halves(1), new Uint8Array(8), halves(channels, 16), new Uint8Array(4), words(rate << 16)),
    full("esds", 0, stream),
  );
  const [handler, own] = [
    concat(ascii("soun"), new Uint8Array(12), ascii("sound\0")),
    full("smhd", 0, new Uint8Array(4)),
  ];
  return header("iso6iso5isommp41", rate, { handler, own, entry });
}

/**
 * @param {string} brands
 * @param {number} ticksPerS
 * @param {{ handler: Uint8Array, own: Uint8Array, entry: Uint8Array, size?: [number, number] }} track `size` in pixels:
 *   absent for sound
 */
function header(brands, ticksPerS, { handler, own, entry, size }) {
  const [width, height] = size ?? [0, 0];
  const movie = full(
    "mvhd",
    0,
    words(0, 0, ticksPerS, 0, 0x1_0000),
    concat(halves(FULL_VOLUME), new Uint8Array(10)),
    words(...UNITY_MATRIX),
    concat(new Uint8Array(24), words(TRACK + 1)),
  );
  const track = full(
    "tkhd",
    3, // enabled, in the movie
    words(0, 0, TRACK, 0, 0),
    concat(new Uint8Array(12), halves(size ? 0 : FULL_VOLUME, 0)),
    words(...UNITY_MATRIX, width << 16, height << 16),
  );
  const table = box(
    "stbl",
    full("stsd", 0, 1, entry),
    full("stts", 0, 0),
    full("stsc", 0, 0),
    full("stsz", 0, 0, 0),
    full("stco", 0, 0),
  );
  const media = box(
    "mdia",
    full("mdhd", 0, 0, 0, ticksPerS, 0, halves(UNDETERMINED_LANGUAGE, 0)),
    full("hdlr", 0, 0, handler),
    box("minf", own, box("dinf", full("dref", 0, 1, full("url ", 1))), table),
  );
  return concat(
    box("ftyp", ascii("iso6"), new Uint8Array(4), ascii(brands)),
    box("moov", movie, box("trak", track, media), box("mvex", full("trex", 0, TRACK, 1, 0, 0, 0))),
  );
}

/**
 * `moof` and `mdat` of samples that begin at `borders[i]` and end at `borders[i + 1]` ticks.
 *
 * @param {number} number
 * @param {number[]} borders
 * @param {{ data: Uint8Array, isKey: boolean }[]} samples
 */
export function fragment(number, borders, samples) {
  const runs = samples.flatMap(({ data, isKey }, i) => [
    borders[i + 1] - borders[i],
    data.length,
    isKey ? KEYFRAME_FLAGS : OTHER_FLAGS,
  ]);
  // By division, because JavaScript shifts only the lower 32 bits of a number.
  const [high, low] = [Math.floor(borders[0] / 2 ** 32), borders[0] % 2 ** 32];
  /** @param {number} offset */
  const moof = (offset) =>
    box(
      "moof",
      full("mfhd", 0, number),
      box(
        "traf",
        full("tfhd", 0x02_0000, TRACK), // offsets count from this moof
        full("tfdt", 0x0100_0000, high, low),
        full("trun", 0x0701, samples.length, offset, words(...runs)),
      ),
    );
  // Made twice: the offset of the samples counts from `moof`, whose length is known after the first time.
  return concat(moof(moof(0).length + 8), box("mdat", ...samples.map(({ data }) => data)));
}

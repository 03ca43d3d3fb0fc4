// Sound of a film: its codec, a silent track, and one film of picture and sound. A player stops at a hole in one of its
// tracks, so silence is laid below the whole film and the sound over that.
import { FormatError } from "../errors.js";
import { boxes, descend, find, inside } from "../wire/boxes.js";
import { concat } from "../wire/bytes.js";
import { box, full } from "./mp4_writer.js";

/** @import { Bytes } from "../types.js" */

const FRAME_SAMPLES = 1024;
/** One silent frame of AAC-LC, one channel. */
const SILENT = [0x00, 0xc8, 0x00, 0x80, 0x23, 0x80];
const [STREAM, DECODER, CONFIG] = [3, 4, 5];
const HEARD = 2;

/** @typedef {ReturnType<typeof soundOf>} Sound */

/**
 * `{head, type, rate, configuration, isMono, isEmpty}` of a sound track: `head` is what stands before its first
 * fragment, `configuration` the first two bytes of its AudioSpecificConfig.
 *
 * @param {Bytes} media
 * @param {boolean} [mayBeEmpty] Live view has headers without a fragment.
 */
export function soundOf(media, mayBeEmpty = false) {
  const mdia = descend(media, "moov", "trak", "mdia");
  const stsd = descend(mdia, "minf", "stbl", "stsd");
  const entry = stsd.subarray(8);
  if (String.fromCharCode(...entry.subarray(4, 8)) !== "mp4a") throw new FormatError("error.format", { what: "MP4" });
  const configuration = configurationOf(descend(entry.subarray(8 + 28), "esds"));
  const [first, second] = configuration;
  const mdhd = descend(mdia, "mdhd");
  const moof = find(media, "moof");
  if (!moof && !mayBeEmpty) throw new FormatError("error.format", { what: "MP4" });
  return {
    head: media.slice(0, moof?.[0]),
    isEmpty: !moof,
    type: `audio/mp4; codecs="mp4a.40.${first >> 3}"`,
    rate: new DataView(mdhd.buffer, mdhd.byteOffset).getUint32(mdhd[0] === 1 ? 20 : 12),
    configuration,
    isMono: ((second >> 3) & 15) === 1,
  };
}

/**
 * AudioSpecificConfig, inside three descriptors shorter than 128 bytes each.
 *
 * @param {Bytes} esds
 */
function configurationOf(esds) {
  let at = 4;
  for (const [tag, body] of [
    [STREAM, 3],
    [DECODER, 13],
    [CONFIG, 0],
  ]) {
    if (esds[at] !== tag || esds[at + 1] > 127) throw new FormatError("error.format", { what: "MP4" });
    at += 2 + body;
  }
  return esds.subarray(at, at + 2);
}

/**
 * A silent fragment, `ms` long; empty for a codec with an unknown silent frame.
 *
 * @param {{ rate: number, isMono: boolean }} options
 * @param {number} ms
 */
export function silence({ rate, isMono }, ms) {
  const count = isMono ? Math.ceil((ms * rate) / 1000 / FRAME_SAMPLES) : 0;
  if (!count) return new Uint8Array();
  /** @param {number} offset */
  const traf = (offset) =>
    box(
      "traf",
      full("tfhd", 0x02_0038, 1, FRAME_SAMPLES, SILENT.length, 0x0200_0000),
      full("tfdt", 0, 0),
      full("trun", 1, count, offset),
    );
  /** @param {number} offset */
  const moof = (offset) => box("moof", full("mfhd", 0, 1), traf(offset));
  return concat(
    moof(moof(0).length + 8),
    box(
      "mdat",
      Uint8Array.from({ length: count * SILENT.length }, (_, i) => SILENT[i % SILENT.length]),
    ),
  );
}

/**
 * `moov` (a whole box) with the track of `sound` (a whole sound file) as its second.
 *
 * @param {Bytes} moov
 * @param {Bytes} sound
 */
export function withTrackOf(moov, sound) {
  const theirs = descend(sound, "moov");
  const [trak, trex] = [whole(theirs, "trak"), whole(descend(theirs, "mvex"), "trex")];
  const tkhd = find(trak.subarray(8), "tkhd");
  if (!tkhd) throw new FormatError("error.format", { what: "MP4" });
  // `track_ID`: after the head of the box, its version, and two times of 32 bits.
  setNumber(trak, 8 + tkhd[0] + 20, HEARD);
  setNumber(trex, 12, HEARD);
  const parts = boxes(moov.subarray(8)).map((each) => {
    const part = moov.slice(8 + each[0], 8 + each[1]);
    // `next_track_ID` is the last field.
    if (each[2] === "mvhd") setNumber(part, part.length - 4, HEARD + 1);
    return each[2] === "mvex" ? concat(trak, box("mvex", part.subarray(8), trex)) : part;
  });
  return box("moov", ...parts);
}

/**
 * A fragment of the sound, told to belong to the second track.
 *
 * @param {Bytes} moof
 */
export function asSoundFragment(moof) {
  for (const traf of boxes(moof.subarray(8)).filter((each) => each[2] === "traf")) {
    const [start] = find(inside(moof.subarray(8), traf), "tfhd") ?? [];
    if (start === undefined) throw new FormatError("error.format", { what: "MP4" });
    setNumber(moof, 8 + traf[0] + 8 + start + 12, HEARD);
  }
  return moof;
}

/**
 * @param {Bytes} data
 * @param {string} kind
 */
function whole(data, kind) {
  const found = find(data, kind);
  if (!found) throw new FormatError("error.format", { what: "MP4" });
  return data.slice(found[0], found[1]);
}

/**
 * @param {Bytes} data
 * @param {number} at
 * @param {number} value
 */
const setNumber = (data, at, value) => new DataView(data.buffer, data.byteOffset, data.length).setUint32(at, value);

// Reads and joins fragmented MP4 (ISO/IEC 14496-12), as far as a player and a saved file need it.
import { FormatError } from "../errors.js";
import { boxes, descend, find, inside } from "../wire/boxes.js";
import { concat } from "../wire/bytes.js";
import { asSoundFragment, soundOf, withTrackOf } from "./sound.js";

/** @import { Bytes } from "../types.js" */

/** @typedef {{ media: Bytes, start: number, sound?: Bytes | null }} Joinable */

const bad = () => new FormatError("error.film-broken");

/** @param {number} byte */
const hex = (byte) => byte.toString(16).padStart(2, "0");

/**
 * `avc1.PPCCLL` or `hvc1.…`, as `MediaSource` wants it, from the first video track.
 *
 * @param {Bytes} media
 */
export const codecOf = (media) => decoderOf(media).codec;

/**
 * Returns the codec of the pictures and its configuration record, as a decoder wants them.
 *
 * @param {Bytes} media
 */
export function decoderOf(media) {
  const moov = descend(media, "moov");
  const stsd = descend(moov, "trak", "mdia", "minf", "stbl", "stsd");
  const entry = stsd.subarray(8);
  const kind = String.fromCharCode(...entry.subarray(4, 8));
  // After the head of the box and the 78 bytes of a VisualSampleEntry (14496-12, 12.1.3).
  const configuration = entry.subarray(8 + 78);
  const box = find(configuration, kind.startsWith("hvc") ? "hvcC" : "avcC");
  if (!["avc1", "avc3", "hvc1"].includes(kind) || !box) throw bad();
  const record = inside(configuration, box);
  if (kind === "hvc1") return { codec: `hvc1.${hevcOf(record)}`, description: record };
  const [, profile, compatibility, level] = record;
  return { codec: `${kind}.${hex(profile)}${hex(compatibility)}${hex(level)}`, description: record };
}

/**
 * ISO/IEC 14496-15, annex E.3: profile, its compatibility flags turned round, tier and level, and what it is bound
 * to.
 *
 * @param {Bytes} record
 */
function hevcOf(record) {
  if (record.length < 23) throw bad();
  const flags = [...record.subarray(2, 6)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const turned = Number.parseInt([...flags].reverse().join(""), 2).toString(16);
  const bounds = [...record.subarray(6, 12)];
  // The standard leaves zero bytes out at the end.
  while (bounds.length && bounds.at(-1) === 0) bounds.pop();
  const profile = `${["", "A", "B", "C"][record[1] >> 6]}${record[1] & 31}`;
  const level = `${record[1] & 32 ? "H" : "L"}${record[12]}`;
  return [profile, turned, level, ...bounds.map((byte) => byte.toString(16))].join(".").toUpperCase();
}

/**
 * Returns the fragments after the header, to continue a film that has had its own header.
 *
 * @param {Bytes} media
 */
export function fragmentsOf(media) {
  const first = find(media, "moof");
  if (!first) throw bad();
  return media.subarray(first[0]);
}

/** Fields of a sample in `trun`: its duration, size and flags, and when it is shown if that differs. */
const [PLAIN_RUN, SHIFTED_RUN] = [0x07_01, 0x0f_01];
const NOT_A_KEYFRAME = 0x01_0000;

/**
 * The pictures of the doorbell's fragments, in the order of decoding. `at`: when each is shown, in ticks, and
 * `duration` until the next in that order.
 *
 * @param {Bytes} fragments
 */
export function samplesOf(fragments) {
  const found = [];
  /** @type {Bytes | undefined} */
  let moof;
  for (const box of boxes(fragments)) {
    if (box[2] === "moof") moof = inside(fragments, box);
    if (box[2] !== "mdat" || !moof) continue;
    const data = inside(fragments, box);
    let at = 0;
    for (const { size, ...sample } of runOf(moof)) {
      if (at + size > data.length) throw bad();
      found.push({ ...sample, data: data.subarray(at, at + size) });
      at += size;
    }
    moof = undefined;
  }
  if (!found.length) throw bad();
  return found;
}

/** @param {Bytes} moof */
function runOf(moof) {
  const [tfdt, trun] = [descend(moof, "traf", "tfdt"), descend(moof, "traf", "trun")];
  const view = new DataView(trun.buffer, trun.byteOffset, trun.length);
  const kind = view.getUint32(0) & 0xff_ffff;
  const width = kind === SHIFTED_RUN ? 16 : 12;
  const count = view.getUint32(4);
  if (tfdt[0] !== 1 || ![PLAIN_RUN, SHIFTED_RUN].includes(kind) || trun.length !== 12 + count * width) throw bad();
  let begin = Number(new DataView(tfdt.buffer, tfdt.byteOffset).getBigUint64(4));
  return Array.from({ length: count }, (_, i) => {
    const place = 12 + i * width;
    const at = begin + (kind === SHIFTED_RUN ? view.getInt32(place + 12) : 0);
    const duration = view.getUint32(place);
    begin += duration;
    return { at, duration, size: view.getUint32(place + 4), isKey: !(view.getUint32(place + 8) & NOT_A_KEYFRAME) };
  });
}

/**
 * The pictures of a whole film in the order of decoding, with `at` counted from its first picture.
 *
 * @param {Bytes} media
 */
export function picturesIn(media) {
  const found = samplesOf(fragmentsOf(media));
  const first = Math.min(...found.map(({ at }) => at));
  return found.map((each) => ({ ...each, at: each.at - first }));
}

/** @param {Bytes} moov */
function timescaleOf(moov) {
  const mdhd = descend(moov, "trak", "mdia", "mdhd");
  const view = new DataView(mdhd.buffer, mdhd.byteOffset, mdhd.length);
  // The two times before it have 64 bits in version 1 and 32 bits in version 0.
  return view.getUint32(mdhd[0] === 1 ? 20 : 12);
}

/**
 * Joins several segments into one film, `{media, start, sound}` with `start` in ms and `sound` if there is some.
 * Encoded frames stay as they are and only move in time.
 *
 * @param {Joinable[]} segments
 */
export function join(segments) {
  const first = segments[0];
  const heard = segments.find((each) => each.sound)?.sound;
  const parts = [];
  let sequence = 0;
  /**
   * @param {Bytes} media
   * @param {number} start
   * @param {(moof: Bytes) => Bytes} own
   */
  const fragments = (media, start, own) => {
    const offset = BigInt(Math.round(((start - first.start) / 1000) * timescaleOf(descend(media, "moov"))));
    for (const box of boxes(media)) {
      if (box[2] !== "moof" && box[2] !== "mdat") continue;
      // A copy, because `move` changes the times in it and the film may be played as well.
      const piece = media.slice(box[0], box[1]);
      // The numbers of fragments rise through a file (14496-12, 8.8.5), and each segment counts its own.
      if (box[2] === "moof") move(own(piece), ++sequence, offset);
      parts.push(piece);
    }
  };
  for (const box of boxes(first.media)) {
    const head = first.media.slice(box[0], box[1]);
    if (box[2] === "ftyp") parts.push(head);
    if (box[2] === "moov") parts.push(heard ? withTrackOf(head, heard) : head);
  }
  for (const { media, start, sound } of segments) {
    if (codecOf(media) !== codecOf(first.media)) throw new FormatError("error.cannot-join");
    fragments(media, start, (piece) => piece);
    if (!sound) continue;
    const [own, other] = [soundOf(sound), soundOf(heard ?? sound)];
    if (own.type !== other.type || own.rate !== other.rate) throw new FormatError("error.cannot-join");
    fragments(sound, start, asSoundFragment);
  }
  return concat(...parts);
}

/**
 * @param {Bytes} moof
 * @param {number} sequence
 * @param {bigint} offset
 */
function move(moof, sequence, offset) {
  for (const box of boxes(moof.subarray(8))) {
    const at = box[0] + 8;
    const view = new DataView(moof.buffer, moof.byteOffset, moof.length);
    if (box[2] === "mfhd") view.setUint32(at + 12, sequence);
    if (box[2] !== "traf") continue;
    for (const inner of boxes(moof.subarray(at + 8, box[1] + 8))) {
      if (inner[2] !== "tfdt") continue;
      const place = at + 8 + inner[0];
      if (moof[place + 8] === 1) view.setBigUint64(place + 12, view.getBigUint64(place + 12) + offset);
      else view.setUint32(place + 12, Number(BigInt(view.getUint32(place + 12)) + offset));
    }
  }
}

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
export function codecOf(media) {
  const moov = descend(media, "moov");
  const stsd = descend(moov, "trak", "mdia", "minf", "stbl", "stsd");
  const entry = stsd.subarray(8);
  const kind = String.fromCharCode(...entry.subarray(4, 8));
  const configuration = entry.subarray(8 + 78);
  const box = find(configuration, kind.startsWith("hvc") ? "hvcC" : "avcC");
  if (!["avc1", "avc3", "hvc1"].includes(kind) || !box) throw bad();
  const record = inside(configuration, box);
  if (kind === "hvc1") return `hvc1.${hevcOf(record)}`;
  const [, profile, compatibility, level] = record;
  return `${kind}.${hex(profile)}${hex(compatibility)}${hex(level)}`;
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

/** @param {Bytes} moov */
function timescaleOf(moov) {
  const mdhd = descend(moov, "trak", "mdia", "mdhd");
  const view = new DataView(mdhd.buffer, mdhd.byteOffset, mdhd.length);
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
      const piece = media.slice(box[0], box[1]);
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

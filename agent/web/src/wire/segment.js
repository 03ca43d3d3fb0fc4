// Opens what the doorbell sealed and holds it against what it signed at capture
// (agent/clients/owner/sealed_footage.py).

import { FormatError, OpenError } from "../errors.js";
import { fileKey, keyCommitment, open, openPrefix, split, stanzaBodies } from "./age.js";
import { LONGEST_LINE } from "./bounds.js";
import { boxes } from "./boxes.js";
import { concat, sha256hex, unbase64, utf8 } from "./bytes.js";
import { pae } from "./envelope.js";
import { verifies } from "./keys.js";
import {
  begin as isBegin,
  context as isContext,
  liveContext as isLiveContext,
  manifestLine,
  manifestPayload,
} from "./messages.js";
import { decode, encode } from "./strictjson.js";

/** @import { Bytes, CaptureRecord, LiveGop, PublicKey, TimeSpan } from "../types.js" */
/** @import * as Wire from "./generated.js" */
const RECORD_TYPE = "application/vnd.doorward.manifest-record+json";
export const CONTEXT_BOX = [
  0x6f, 0x0c, 0x3d, 0x1b, 0x8a, 0x5e, 0x4f, 0x7c, 0x9d, 0x24, 0xb1, 0xe7, 0xd3, 0xa8, 0xc9, 0x51,
];
const LIVE_BOX = [0x9a, 0x1d, 0x4b, 0xe7, 0xc0, 0x52, 0x48, 0xf3, 0x8f, 0x6e, 0x2d, 0x77, 0x14, 0xc3, 0xa0, 0x5b];
const POSTER_REMARK = "doorward context:";

/**
 * The record in a manifest line, once the device's key has signed it and it is about `segment`.
 *
 * @param {string} line
 * @param {string} segment
 * @param {PublicKey} device
 */
export async function recordOf(line, segment, device) {
  const record = await openRecord(line, device);
  if (idOf(record) !== segment) throw new OpenError("error.other-record");
  return record;
}

/**
 * The same of whichever segment it is about.
 *
 * @param {string} line
 * @param {PublicKey} device
 * @returns {Promise<CaptureRecord>}
 */
export async function openRecord(line, device) {
  const outer = manifestLine(decode(utf8(line), LONGEST_LINE));
  const payload = unbase64(outer.payload);
  if (!(await verifies(device, unbase64(outer.sig), pae(RECORD_TYPE, payload))))
    throw new OpenError("error.not-signed");
  const { record } = manifestPayload(decode(payload, LONGEST_LINE));
  if (record.kind !== "segment" && record.kind !== "recovered") throw new OpenError("error.other-record");
  return record;
}

/** @param {CaptureRecord} record */
export const idOf = (record) => (record.kind === "segment" ? record.id : record.begin.segment);
/** @param {CaptureRecord} record */
export const eventOf = (record) => (record.kind === "segment" ? record.event : record.begin.event);
/** @param {CaptureRecord} record */
export const labelOf = (record) => (record.kind === "segment" ? record.label : record.begin.label) ?? "";
/**
 * True if a power cut took its end. It is shown and shared up to its last whole fragment.
 *
 * @param {CaptureRecord} record
 */
export const isCut = (record) => record.kind === "recovered" && !record.complete;
/**
 * The length of its film by the record, in whole milliseconds, as plans of redactions count it.
 *
 * @param {CaptureRecord} record
 */
export const filmLengthMs = (record) => {
  const { start_us: start, end_us: end } = bootSpanOf(record);
  return Math.floor((end - start) / 1000);
};
/**
 * When it was recorded by the clock since a boot. For a recovered one, `end_us` is the latest possible.
 *
 * @param {CaptureRecord} record
 */
export const bootSpanOf = (record) =>
  record.kind === "segment"
    ? record.span
    : { boot: record.begin.boot, start_us: record.begin.start_us, end_us: record.begin.until_us };
/** @param {CaptureRecord} record */
export const posterOf = (record) => (record.kind === "segment" ? record.poster?.file : record.poster_file);

/** @param {CaptureRecord} record */
export const soundOf = (record) => (record.kind === "segment" ? record.sound?.file : record.sound_file);

/**
 * UTC ms, as agent/core/vault/fields.py counts: the end rounded up.
 *
 * @param {CaptureRecord} record
 * @returns {TimeSpan}
 */
export function spanOf(record) {
  if (record.kind === "segment")
    return spanMs(record.span.utc_ms, record.span.start_us, record.span.end_us, record.span.quality);
  return spanMs(record.begin.utc_ms, record.begin.start_us, record.begin.until_us, "unknown");
}

/**
 * @param {number} utc
 * @param {number} start
 * @param {number} end
 * @param {Wire.ClockQuality} quality
 */
const spanMs = (utc, start, end, quality) => ({ start: utc, end: utc + Math.ceil((end - start) / 1000), quality });

/**
 * @param {Wire.SealedFile} file
 * @param {Bytes} data
 */
async function requireSignedBytes(file, data) {
  const header = data.subarray(0, file.header_size);
  const same =
    data.length === file.size &&
    split(data) === file.header_size &&
    (await sha256hex(header)) === file.sha256_header &&
    (await sha256hex(data.subarray(file.header_size))) === file.sha256_payload;
  if (!same) throw new OpenError("error.other-bytes");
}

/**
 * `{media, context, whole}`: media plays on its own.
 *
 * @param {CaptureRecord} record
 * @param {Bytes} data
 * @param {string} identity
 * @param {string} device
 */
export async function openCaptured(record, data, identity, device) {
  await requireSignedBytes(record.file, data);
  if (record.kind === "segment") {
    const { media, context } = splitMedia(await openCommitted(record, record.key, data, identity));
    agree(record, context, device, "segment");
    return { media, context, whole: true };
  }
  const bodies = stanzaBodies(data.subarray(0, record.file.header_size), "doorward-begin");
  const begun = bodies.length === 1 ? isBegin(decode(bodies[0], 2048)) : undefined;
  if (JSON.stringify(sorted(begun)) !== JSON.stringify(sorted(record.begin))) throw new OpenError("error.other-record");
  const { plain, whole } = await asRecordMismatch(openPrefix(data, identity));
  if (!whole) return { media: wholeFragments(plain), context: null, whole: false };
  const { media, context } = splitMedia(plain);
  agree(record, context, device, "segment");
  return { media, context, whole: true };
}

/**
 * The record's commitment to the file key of its sound or still; undefined for a recovered segment.
 *
 * @param {CaptureRecord} record
 * @param {"sound" | "poster"} file
 */
const keyIn = (record, file) => (record.kind === "segment" ? record[file]?.key : undefined);

/**
 * The sound of a segment, as a separate film.
 *
 * @param {CaptureRecord} record
 * @param {Bytes} data
 * @param {string} identity
 * @param {string} device
 */
export async function openSound(record, data, identity, device) {
  const file = soundOf(record);
  if (!file) throw new FormatError("error.no-sound");
  await requireSignedBytes(file, data);
  const { media, context } = splitMedia(await openCommitted(record, keyIn(record, "sound"), data, identity));
  agree(record, context, device, "sound");
  return media;
}

/**
 * `{image, seen}`: the still of a clip, and the labels of object detection around it.
 *
 * @param {CaptureRecord} record
 * @param {Bytes} data
 * @param {string} identity
 * @param {string} device
 */
export async function openPoster(record, data, identity, device) {
  const file = posterOf(record);
  if (!file) throw new FormatError("error.no-poster");
  await requireSignedBytes(file, data);
  const { image, context } = splitPoster(await openCommitted(record, keyIn(record, "poster"), data, identity));
  agree(record, context, device, "poster");
  if (image[2] !== 0xff) throw new FormatError("error.no-poster");
  return { image, seen: context.seen ?? null };
}

/**
 * Reports footage that has the bytes signed at capture but fails to open as sealed to other keys.
 *
 * @template T
 * @param {Promise<T>} opening
 * @returns {Promise<T>}
 */
async function asRecordMismatch(opening) {
  try {
    return await opening;
  } catch (error) {
    const isSealedToOthers = error instanceof OpenError && error.text === "error.does-not-open";
    throw isSealedToOthers ? new OpenError("error.not-yours") : error;
  }
}

/**
 * The plaintext, after checking that the key which opens it is the one that the record commits to (recovered segments
 * have none).
 *
 * @param {CaptureRecord} record
 * @param {string | undefined} commitment
 * @param {Bytes} data
 * @param {string} identity
 */
async function openCommitted(record, commitment, data, identity) {
  if (record.kind === "segment") {
    const key = await asRecordMismatch(fileKey(data.subarray(0, split(data)), identity));
    if (keyCommitment(key) !== commitment) throw new OpenError("error.other-record");
  }
  return open(data, identity);
}

/** @param {any} value */
const sorted = (value) =>
  value &&
  Object.keys(value)
    .filter((key) => key !== "v")
    .sort()
    .map((key) => [key, value[key]]);

/**
 * `kind`: which of the segment's files this was taken for: segment, poster or sound.
 *
 * @param {CaptureRecord} record
 * @param {Wire.Context} context
 * @param {string} device
 * @param {string} kind
 */
function agree(record, context, device, kind) {
  const [id, event, ordinal] =
    record.kind === "segment"
      ? [record.id, record.event, record.ordinal]
      : [record.begin.segment, record.begin.event, record.begin.ordinal];
  const said =
    context.kind === kind &&
    context.device === device &&
    context.segment === id &&
    context.event === event &&
    context.ordinal === ordinal;
  const whole =
    record.kind === "segment"
      ? JSON.stringify(sorted(context.span)) === JSON.stringify(sorted(record.span))
      : context.span.boot === record.begin.boot && context.span.start_us === record.begin.start_us;
  if (!said || !whole) throw new OpenError("error.other-record");
}

/**
 * The media, and the body of the box of that type behind it.
 *
 * @param {Bytes} plain
 * @param {number[]} type
 */
export function splitTrailing(plain, type) {
  const last = boxes(plain).at(-1);
  const head = last && last[2] === "uuid" ? plain.subarray(last[0] + 8, last[0] + 24) : [];
  if (!last || head.length !== 16 || !type.every((byte, i) => head[i] === byte)) {
    throw new FormatError("error.format", { what: "context" });
  }
  return { media: plain.subarray(0, last[0]), body: plain.subarray(last[0] + 24, last[1]) };
}

/**
 * The plaintext of a part of live view (wire/live.js), sealed to its owners, unsigned.
 *
 * @param {Bytes} plain
 * @param {string} device
 * @returns {LiveGop}
 */
export function readLive(plain, device) {
  const { media: both, body } = splitTrailing(plain, LIVE_BOX);
  const context = isLiveContext(decode(body, 1024));
  if (context.device !== device) throw new OpenError("error.other-record");
  const { utc_ms, start_us, end_us, quality } = context.span;
  const end = both.length - (context.sound?.size ?? 0);
  if (end < 0) throw new FormatError("error.film-broken");
  return {
    media: both.subarray(0, end),
    sound: context.sound && { media: both.subarray(end), start: context.sound.start_us },
    span: spanMs(utc_ms, start_us, end_us, quality),
    order: [context.span.boot, start_us, end_us],
    continues: context.continues ?? false,
  };
}

/** @param {Bytes} plain */
export function splitMedia(plain) {
  const { media, body } = splitTrailing(plain, CONTEXT_BOX);
  return { media, context: contextOf(body, media) };
}

/**
 * The context of a redacted file as the box behind its media. Without the labels, which could tell of what is covered.
 *
 * @param {Wire.SegmentRecord} record of the captured file
 * @param {Pick<Wire.Context, "kind" | "device" | "media_bytes" | "redactions" | "exact">} own
 */
export function redactedContext({ id, event, ordinal, span }, own) {
  const body = concat(Uint8Array.from(CONTEXT_BOX), encode({ segment: id, event, ordinal, span, ...own }));
  const made = concat(new Uint8Array(4), utf8("uuid"), body);
  new DataView(made.buffer).setUint32(0, made.length);
  return made;
}

/**
 * The JPEG as it was made, and what its comment says of it (ITU-T T.81, B.2.4.5).
 *
 * @param {Bytes} plain
 */
export function splitPoster(plain) {
  // The length of the comment counts its own two bytes.
  const end = 4 + plain[4] * 256 + plain[5];
  const isBegun = plain[0] === 0xff && plain[1] === 0xd8 && plain[2] === 0xff && plain[3] === 0xfe;
  const remark = plain.subarray(6, 6 + POSTER_REMARK.length);
  if (!isBegun || !(end <= plain.length) || fromAscii(remark) !== POSTER_REMARK)
    throw new FormatError("error.no-poster");
  const image = concat(plain.subarray(0, 2), plain.subarray(end));
  return { image, context: contextOf(plain.subarray(6 + POSTER_REMARK.length, end), image) };
}

/** @param {Bytes} bytes */
const fromAscii = (bytes) => String.fromCharCode(...bytes);

/**
 * @param {Bytes} body
 * @param {Bytes} media
 */
function contextOf(body, media) {
  const context = isContext(decode(body, 2048));
  if (media.length !== context.media_bytes) throw new OpenError("error.other-bytes");
  return context;
}

/** @param {Bytes} data */
export function wholeFragments(data) {
  let at = 0;
  let end = 0;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  while (data.length - at >= 8) {
    const size = view.getUint32(at);
    const kind = String.fromCharCode(...data.subarray(at + 4, at + 8));
    at += size;
    if (size < 8 || at > data.length) break;
    if (kind === "mdat") end = at;
  }
  if (!end) throw new FormatError("error.cut-too-early");
  return data.subarray(0, end);
}

// What a player and a saved file need to know of fragmented MP4 (ISO/IEC 14496-12), and no more.
import { FormatError } from "../errors.js";
import { concat } from "../wire/bytes.js";
import { boxes } from "../wire/segment.js";

const bad = () => new FormatError("error.format", { what: "MP4" });
const inside = (data, [start, end], skip = 8) => data.subarray(start + skip, end);
const find = (data, kind) => boxes(data).find((box) => box[2] === kind);

function descend(data, ...path) {
  let at = data;
  for (const kind of path) {
    const box = find(at, kind);
    if (!box) throw bad();
    at = inside(at, box);
  }
  return at;
}

/** `avc1.PPCCLL`, as `MediaSource` wants it, from the first video track. */
export function codecOf(media) {
  const moov = descend(media, "moov");
  const stsd = descend(moov, "trak", "mdia", "minf", "stbl", "stsd");
  const entry = stsd.subarray(8);
  const kind = String.fromCharCode(...entry.subarray(4, 8));
  const configuration = entry.subarray(8 + 78);
  const avcc = find(configuration, "avcC");
  if ((kind !== "avc1" && kind !== "avc3") || !avcc) throw bad();
  const [, profile, compatibility, level] = inside(configuration, avcc);
  const hex = (byte) => byte.toString(16).padStart(2, "0");
  return `${kind}.${hex(profile)}${hex(compatibility)}${hex(level)}`;
}

function timescaleOf(moov) {
  const mdhd = descend(moov, "trak", "mdia", "mdhd");
  const view = new DataView(mdhd.buffer, mdhd.byteOffset, mdhd.length);
  return view.getUint32(mdhd[0] === 1 ? 20 : 12);
}

/** One film of several segments, `{media, start}` with `start` in ms: nothing is encoded anew, only moved in time. */
export function join(segments) {
  const first = segments[0];
  const firstMoov = inside(first.media, find(first.media, "moov") ?? [0, 0]);
  const parts = [];
  let sequence = 0;
  for (const { media, start } of segments) {
    const moov = inside(media, find(media, "moov") ?? [0, 0]);
    if (codecOf(media) !== codecOf(first.media)) throw new FormatError("error.cannot-join");
    const offset = BigInt(Math.round(((start - first.start) / 1000) * timescaleOf(moov)));
    for (const box of boxes(media)) {
      const isHead = box[2] === "ftyp" || box[2] === "moov";
      if (isHead ? media === first.media : box[2] === "moof" || box[2] === "mdat") {
        const piece = media.slice(box[0], box[1]);
        if (box[2] === "moof") move(piece, ++sequence, offset);
        parts.push(piece);
      }
    }
  }
  if (!firstMoov.length) throw bad();
  return concat(...parts);
}

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

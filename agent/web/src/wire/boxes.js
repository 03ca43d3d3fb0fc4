// Finds boxes in an MP4 file (ISO/IEC 14496-12).  A box is `[start, end, kind]`, with offsets in bytes.
import { FormatError } from "../errors.js";

/** @import { Bytes } from "../types.js" */

/** @typedef {[start: number, end: number, kind: string]} Box */

/**
 * Top-level boxes that fill `data` exactly: `[start, end, kind]`.
 *
 * @param {Bytes} data
 * @returns {Box[]}
 */
export function boxes(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  /** @type {Box[]} */
  const found = [];
  for (let at = 0; at < data.length; ) {
    if (data.length - at < 8) throw new FormatError("error.format", { what: "MP4" });
    let size = view.getUint32(at);
    let head = 8;
    if (size === 1 && data.length - at >= 16) {
      size = Number(view.getBigUint64(at + 8));
      head = 16;
    }
    if (size < head || at + size > data.length) throw new FormatError("error.format", { what: "MP4" });
    found.push([at, at + size, String.fromCharCode(...data.subarray(at + 4, at + 8))]);
    at += size;
  }
  return found;
}

/**
 * The content of a box after its header of `skip` bytes.
 *
 * @param {Bytes} data
 * @param {Box} place
 * @param {any} [skip]
 */
export const inside = (data, [start, end], skip = 8) => data.subarray(start + skip, end);

/**
 * The first box of a kind at this level, or undefined.
 *
 * @param {Bytes} data
 * @param {string} kind
 */
export const find = (data, kind) => boxes(data).find((box) => box[2] === kind);

/**
 * The content of the box at `path`, one kind for each level.  Throws FormatError if a box is missing.
 *
 * @param {Bytes} data
 * @param {string[]} path
 */
export function descend(data, ...path) {
  let at = data;
  for (const kind of path) {
    const box = find(at, kind);
    if (!box) throw new FormatError("error.film-broken");
    at = inside(at, box);
  }
  return at;
}

// The list of what an owner covers in a film or mutes in its sound: when, where and which kind
// (agent/core/vault/redactions.py). Times are milliseconds of the film, places ten-thousandths of the picture.
// Source: FORMAT.md, "Redacted film".

/** @import * as Wire from "./generated.js" */
/** @typedef {[left: number, top: number, right: number, bottom: number]} PixelBox right and bottom are excluded */

/** Width and height of a picture in the units of a place. */
export const WHOLE = 10_000;
export const MOST_REDACTIONS = 64;
export const MOST_PLACES = 64;
/** Covers end at multiples of this many pixels, macroblocks of H.264: no block mixes covered pixels with others. */
export const BLOCK_PX = 16;

/**
 * The covered rectangle at an instant, rounded outwards.
 *
 * @param {Wire.Place[]} places in order of time
 * @param {number} atMs
 * @returns {Wire.Place}
 */
export function placeAt(places, atMs) {
  const after = places.findIndex((place) => place[0] >= atMs);
  if (after <= 0) {
    const [, ...nearest] = places[after === 0 ? 0 : places.length - 1];
    return [atMs, ...nearest];
  }
  const [one, two] = [places[after - 1], places[after]];
  const [passed, whole] = [atMs - one[0], two[0] - one[0]];
  /**
   * @param {number} begin
   * @param {number} end
   * @param {(share: number) => number} rounded
   */
  const between = (begin, end, rounded) => begin + rounded(((end - begin) * passed) / whole);
  const [left, top] = [1, 2].map((side) => between(one[side], two[side], Math.floor));
  const [right, bottom] = [1, 2].map((side) =>
    between(one[side] + one[side + 2], two[side] + two[side + 2], Math.ceil),
  );
  return [atMs, left, top, right - left, bottom - top];
}

/**
 * The places of a stretch: those within it, and where the cover is at its two ends.
 *
 * @param {Wire.Place[]} places
 * @param {number} fromMs
 * @param {number} untilMs
 * @returns {Wire.Place[]}
 */
export const placesWithin = (places, fromMs, untilMs) => [
  placeAt(places, fromMs),
  ...places.filter(([at]) => fromMs < at && at < untilMs),
  placeAt(places, untilMs),
];

/**
 * The pixels that a cover fills in a picture of this size: the rectangle, grown to whole blocks.
 *
 * @param {Wire.Place} place
 * @param {number} width in pixels
 * @param {number} height in pixels
 * @returns {PixelBox}
 */
export function coveredPixels([, left, top, across, down], width, height) {
  const [first, last] = grown(left, across, width);
  const [upper, lower] = grown(top, down, height);
  return [first, upper, last, lower];
}

/**
 * @param {number} begin
 * @param {number} extent
 * @param {number} size in pixels
 */
function grown(begin, extent, size) {
  const unit = WHOLE * BLOCK_PX;
  const last = Math.ceil(((begin + extent) * size) / unit) * BLOCK_PX;
  return [Math.floor((begin * size) / unit) * BLOCK_PX, Math.min(last, size)];
}

/**
 * The redactions as they are made: one that lasts to the end of the film lasts as long as there are pictures or
 * samples. A film that is longer than its record says comes from altered software, and the owner has covered all of
 * it as well.
 *
 * @param {Wire.Redaction[]} redactions
 * @param {number} lengthMs the length of the film by its record
 * @returns {Wire.Redaction[]}
 */
export const lasting = (redactions, lengthMs) =>
  redactions.map((each) => (each.until_ms >= lengthMs ? { ...each, until_ms: Number.POSITIVE_INFINITY } : each));

/**
 * The covers of a picture. A picture within a millisecond of a redaction's time counts as covered, and one before the
 * film's begin as its first.
 *
 * @param {Wire.Redaction[]} redactions
 * @param {number} atMs
 * @param {number} width in pixels
 * @param {number} height in pixels
 */
export function boxesAt(redactions, atMs, width, height) {
  const at = Math.max(0, atMs);
  return redactions
    .filter((each) => each.from_ms <= at + 1 && at <= each.until_ms)
    .map((each) => {
      const within = Math.min(Math.max(at, each.from_ms), each.until_ms);
      return coveredPixels(placeAt(each.places ?? [], within), width, height);
    });
}

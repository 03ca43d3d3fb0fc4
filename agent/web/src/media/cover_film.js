// Covers places of a film with black, by decoding all of it and encoding it again (agent/clients/media/redact.py).
// Nothing of the captured bytes is copied. Each picture is filled before the encoder sees it, so motion vectors,
// neighbouring pictures and the length of the new film carry nothing from below a cover.
import { FormatError } from "../errors.js";
import { concat } from "../wire/bytes.js";
import { boxesAt, lasting } from "../wire/redactions.js";
import { bytesOf, decoded, farthestFromBlack, fill } from "./decoded.js";
import { encoderFor, FilmEncoder } from "./film_encoder.js";
import { picturesIn } from "./fmp4.js";
import { filmHeader, fragment, TICKS_PER_S } from "./mp4_writer.js";

/** @import { Bytes } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */

const TICKS_PER_MS = TICKS_PER_S / 1000;
const TICKS_PER_US = TICKS_PER_MS / 1000;
/** Farthest that an encoder may move a covered pixel from black. Filters at the rim of a cover end within `RIM_PX`. */
const NEAR_BLACK = 24;
const RIM_PX = 4;

/** @param {number} tick of the film */
export const msOf = (tick) => Math.floor(tick / TICKS_PER_MS);

/**
 * The film with each redaction's places filled with black. Keyframes stay where they were.
 *
 * @param {Bytes} media
 * @param {Wire.Redaction[]} redactions
 * @param {number} lengthMs the length of the film by its record
 */
export async function coverFilm(media, redactions, lengthMs) {
  const covers = lasting(redactions, lengthMs);
  const samples = picturesIn(media);
  const ticks = samples.map(({ at }) => at).sort((one, other) => one - other);
  const endTick = Math.max(...samples.map(({ at, duration }) => at + duration));
  const keys = new Set(samples.filter(({ isKey }) => isKey).map(({ at }) => at));
  /** @type {FilmEncoder | undefined} */
  let encoder;
  let size = { width: 0, height: 0 };
  let count = 0;
  try {
    for await (const frame of decoded(media, samples)) {
      const [tick, colorSpace] = [frame.timestamp, frame.colorSpace.toJSON()];
      const picture = await bytesOf(frame);
      const { width, height } = picture;
      if (!encoder) {
        size = { width, height };
        encoder = new FilmEncoder(await encoderFor(width, height, rateOf(samples.length, endTick)));
      }
      if (tick !== ticks[count] || width !== size.width || height !== size.height) throw broken();
      for (const box of boxesAt(covers, msOf(tick), width, height)) fill(picture, box);
      await encoder.add(picture, {
        atUs: Math.round(tick / TICKS_PER_US),
        isKey: !count || keys.has(tick),
        colorSpace,
      });
      count++;
    }
    if (!encoder || count !== samples.length) throw broken();
    return filmOf({ ...(await encoder.finish()), ...size }, ticks, endTick);
  } finally {
    encoder?.close();
  }
}

const broken = () => new FormatError("error.film-broken");

/**
 * Pictures a second, from how many there are: whole, at least one.
 *
 * @param {number} count
 * @param {number} ticks
 */
const rateOf = (count, ticks) => Math.max(1, Math.round((count * TICKS_PER_S) / Math.max(1, ticks)));

/**
 * @param {{ samples: { data: Bytes, isKey: boolean }[], configuration: Bytes, width: number, height: number }} film
 * @param {number[]} ticks when each picture is shown
 * @param {number} endTick
 */
function filmOf({ samples, ...film }, ticks, endTick) {
  const starts = samples.flatMap(({ isKey }, i) => (isKey ? [i] : []));
  if (starts[0] !== 0) throw broken();
  const parts = starts.map((start, n) => {
    const end = starts[n + 1] ?? samples.length;
    const border = ticks[end] ?? Math.max(endTick, ticks[end - 1] + 1);
    return fragment(n + 1, [...ticks.slice(start, end), border], samples.slice(start, end));
  });
  return concat(filmHeader(film), ...parts);
}

/**
 * Throws FormatError unless each listed place of a film is black for all of its time.
 *
 * @param {Bytes} media
 * @param {Wire.Redaction[]} redactions
 */
export async function requireCovered(media, redactions) {
  for await (const frame of decoded(media, picturesIn(media))) {
    const at = msOf(frame.timestamp);
    const picture = await bytesOf(frame);
    for (const [left, top, right, bottom] of boxesAt(redactions, at, picture.width, picture.height)) {
      const inner = /** @type {const} */ ([left + RIM_PX, top + RIM_PX, right - RIM_PX, bottom - RIM_PX]);
      if (farthestFromBlack(picture, [...inner]) > NEAR_BLACK)
        throw new FormatError("error.not-covered", { seconds: (at / 1000).toFixed(2) });
    }
  }
}

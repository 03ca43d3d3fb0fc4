// Covers places of a film with black, by decoding all of it and encoding it again (agent/clients/media/redact.py).
// Nothing of the captured bytes is copied. Each picture is filled before the encoder sees it, so motion vectors,
// neighbouring pictures and the length of the new film carry nothing from below a cover. An exact film is coded without
// loss: each pixel outside of its covers has the value that the captured film decodes to.
import { FormatError, PageError } from "../errors.js";
import { concat } from "../wire/bytes.js";
import { boxesAt, lasting } from "../wire/redactions.js";
import { bytesOf, decoded, farthestFromBlack, fill, planesOf } from "./decoded.js";
import { encoderFor, FilmEncoder, levelFor } from "./film_encoder.js";
import { decoderOf, picturesIn } from "./fmp4.js";
import { filmHeader, fragment, TICKS_PER_S } from "./mp4_writer.js";

/** @import { Bytes } from "../types.js" */
/** @import { Picture } from "./decoded.js" */
/** @import * as Wire from "../wire/generated.js" */

const TICKS_PER_MS = TICKS_PER_S / 1000;
const TICKS_PER_US = TICKS_PER_MS / 1000;
/** Farthest that an encoder may move a covered pixel from black. Filters at the rim of a cover end within `RIM_PX`. */
const NEAR_BLACK = 24;
const RIM_PX = 4;
/**
 * From one keyframe of a new film to the next. Cameras may set a keyframe where the scene changes, so those of the
 * recorded film would tell when something below a cover changed.
 */
const KEYFRAME_EVERY_TICKS = TICKS_PER_S;
/** A film without loss as browsers name it: the profile High 4:4:4 Predictive. */
const LOSSLESS = "avc1.f4001f";

/** @param {number} tick of the film */
export const msOf = (tick) => Math.floor(tick / TICKS_PER_MS);

/** @typedef {typeof import("./lossless_encoder.js")} Lossless makes exact films: pixels outside of the covers stay */

/**
 * The film with each redaction's places filled with black, and a keyframe every second. Throws `PageError` if this
 * browser cannot make it, or cannot check an exact one.
 *
 * @param {Bytes} media
 * @param {Wire.Redaction[]} redactions
 * @param {number} lengthMs the length of the film by its record
 * @param {Lossless} [lossless] if the film is to be exact
 */
export async function coverFilm(media, redactions, lengthMs, lossless) {
  if (lossless) await requireLosslessDecoder();
  const covers = lasting(redactions, lengthMs);
  const samples = picturesIn(media);
  const ticks = samples.map(({ at }) => at).sort((one, other) => one - other);
  const endTick = Math.max(...samples.map(({ at, duration }) => at + duration));
  /** @type {FilmEncoder | InstanceType<Lossless["LosslessEncoder"]> | undefined} */
  let encoder;
  let size = { width: 0, height: 0 };
  let count = 0;
  let keyTick = Number.NEGATIVE_INFINITY;
  try {
    for await (const frame of decoded(media, samples)) {
      const [tick, colorSpace] = [frame.timestamp, frame.colorSpace.toJSON()];
      const picture = await bytesOf(frame);
      const { width, height } = picture;
      if (!encoder) {
        size = { width, height };
        const perSecond = rateOf(samples.length, endTick);
        encoder = lossless
          ? losslessEncoder(lossless, { ...size, level: levelFor(width, height, perSecond) }, media, colorSpace)
          : new FilmEncoder(await encoderFor(width, height, perSecond));
      }
      if (tick !== ticks[count] || width !== size.width || height !== size.height) throw broken();
      for (const box of boxesAt(covers, msOf(tick), width, height)) fill(picture, box);
      const isKey = tick - keyTick >= KEYFRAME_EVERY_TICKS;
      if (isKey) keyTick = tick;
      if (encoder instanceof FilmEncoder)
        await encoder.add(picture, { atUs: Math.round(tick / TICKS_PER_US), isKey, colorSpace });
      else encoder.add(planesOf(picture), { isKey });
      count++;
    }
    if (!encoder || count !== samples.length) throw broken();
    return filmOf({ ...(await encoder.finish()), ...size }, ticks, endTick);
  } finally {
    if (encoder instanceof FilmEncoder) encoder.close();
  }
}

/**
 * @param {Lossless} lossless
 * @param {{ width: number, height: number, level: number | undefined }} size
 * @param {Bytes} media
 * @param {VideoColorSpaceInit} colorSpace
 */
function losslessEncoder({ LosslessEncoder, signalOf }, { width, height, level }, media, colorSpace) {
  // Half a pixel of colour at the rim would have to be converted.
  if (!level || width % 2 || height % 2) throw new PageError("error.no-exact");
  return new LosslessEncoder({ width, height, level, signal: signalOf(colorSpace, decoderOf(media)) });
}

/** A film that this browser cannot show cannot be looked at or checked before it leaves. */
async function requireLosslessDecoder() {
  if (!("VideoDecoder" in globalThis)) throw new PageError("error.no-webcodecs");
  const found = await VideoDecoder.isConfigSupported({ codec: LOSSLESS }).catch(() => null);
  if (!found?.supported) throw new PageError("error.no-exact");
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
 * Throws FormatError unless each listed place of a film is black for all of its time. In an exact film each value must
 * be black, also at the rim of a cover.
 *
 * @param {Bytes} media
 * @param {Wire.Redaction[]} redactions
 * @param {{ exact?: boolean }} [options]
 */
export async function requireCovered(media, redactions, { exact = false } = {}) {
  const [farthest, rim] = exact ? [0, 0] : [NEAR_BLACK, RIM_PX];
  for await (const frame of decoded(media, picturesIn(media))) {
    const at = msOf(frame.timestamp);
    const picture = await bytesOf(frame);
    for (const [left, top, right, bottom] of boxesAt(redactions, at, picture.width, picture.height)) {
      const inner = /** @type {const} */ ([left + rim, top + rim, right - rim, bottom - rim]);
      if (farthestFromBlack(picture, [...inner]) > farthest)
        throw new FormatError("error.not-covered", { seconds: (at / 1000).toFixed(2) });
    }
  }
}

/**
 * Throws FormatError unless a covered film has the captured one's pictures outside of its covers, value by value. The
 * covers are those of the list, by which a requester compares. A film of altered software can go on after the length in
 * its record. It is covered to its last picture, and the list cannot say so: then it cannot be exact.
 *
 * @param {Bytes} captured
 * @param {Bytes} made
 * @param {Wire.Redaction[]} redactions
 */
export async function requireExact(captured, made, redactions) {
  const differs = () => new FormatError("error.not-exact");
  const [before, after] = [picturesOf(captured), picturesOf(made)];
  try {
    while (true) {
      const [one, two] = [await before.next(), await after.next()];
      if (one.done && two.done) return;
      if (one.done || two.done) throw differs();
      const [[at, recorded], [other, covered]] = [one.value, two.value];
      if (Math.abs(at - other) > TICKS_PER_MS) throw differs();
      for (const picture of [recorded, covered])
        for (const box of boxesAt(redactions, msOf(at), picture.width, picture.height)) fill(picture, box);
      const [mine, theirs] = [planesOf(recorded), planesOf(covered)];
      if (mine.width !== theirs.width || !mine.planes.every((plane, i) => isSame(plane, theirs.planes[i])))
        throw differs();
    }
  } finally {
    await Promise.all([before.return(undefined), after.return(undefined)]);
  }
}

/**
 * As `equal` of wire/bytes.js, without a call for each of the million values of a picture.
 *
 * @param {Bytes} one
 * @param {Bytes} other
 */
function isSame(one, other) {
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
}

/**
 * @param {Bytes} media
 * @returns {AsyncGenerator<[number, Picture], void, undefined>} when each picture is shown, in ticks, and its values
 */
async function* picturesOf(media) {
  for await (const frame of decoded(media, picturesIn(media))) {
    const at = frame.timestamp;
    yield [at, await bytesOf(frame)];
  }
}

// Shows single pictures of a clip of several segments, decoded here one by one. Times are ms of the clip, as plans of
// redactions count them.
import { FormatError } from "../errors.js";
import { msOf } from "./cover_film.js";
import { decoded, samplesFor } from "./decoded.js";
import { picturesIn } from "./fmp4.js";

/** @import { Bytes } from "../types.js" */
/** @typedef {{ id: string, lengthMs: number }} Part a segment */
/** @typedef {{ media: Bytes, samples: ReturnType<typeof picturesIn>, ticks: number[] }} Opened */

/** Segments that stay open. An owner who goes to and fro over a border needs two. */
const MOST_OPEN = 2;

export class FilmFrames {
  #canvas;
  #parts;
  #load;
  /** @type {Map<string, Promise<Opened>>} */
  #open = new Map();
  #part = 0;
  #picture = 0;
  /** @type {(() => Promise<void>) | undefined} */
  #next;
  #isBusy = false;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Part[]} parts
   * @param {(id: string) => Promise<Bytes>} load
   * @param {{ onShow: (atMs: number) => void, onError: (error: unknown) => void }} told
   */
  constructor(canvas, parts, load, { onShow, onError }) {
    let begin = 0;
    this.#parts = parts.map((part) => {
      const own = { ...part, begin };
      begin += part.lengthMs;
      return own;
    });
    this.#canvas = canvas;
    this.#load = load;
    this.onShow = onShow;
    this.onError = onError;
  }

  get lengthMs() {
    return this.#parts.reduce((sum, { lengthMs }) => sum + lengthMs, 0);
  }

  /**
   * Shows the picture of a moment, the newest at or before it.
   *
   * @param {number} atMs
   */
  show(atMs) {
    this.#soon(async () => {
      const part = newest(this.#parts, ({ begin }) => begin <= atMs);
      const { ticks } = await this.#opened(part);
      const within = atMs - this.#parts[part].begin;
      await this.#draw(
        part,
        newest(ticks, (tick) => msOf(tick) <= within),
      );
    });
  }

  /**
   * Shows the next picture (1) or the one before (-1).
   *
   * @param {1 | -1} by
   */
  step(by) {
    this.#soon(async () => {
      const { ticks } = await this.#opened(this.#part);
      const picture = this.#picture + by;
      if (picture >= 0 && picture < ticks.length) return this.#draw(this.#part, picture);
      const part = this.#part + by;
      if (part < 0 || part >= this.#parts.length) return undefined;
      return this.#draw(part, by > 0 ? 0 : (await this.#opened(part)).ticks.length - 1);
    });
  }

  /**
   * Fulfils only the last of several wishes that come while a picture is decoded.
   *
   * @param {() => Promise<void>} wish
   */
  #soon(wish) {
    this.#next = wish;
    if (!this.#isBusy) void this.#work();
  }

  async #work() {
    this.#isBusy = true;
    while (this.#next) {
      const wish = this.#next;
      this.#next = undefined;
      try {
        await wish();
      } catch (error) {
        this.onError(error);
      }
    }
    this.#isBusy = false;
  }

  /** @param {number} part */
  #opened(part) {
    const { id } = this.#parts[part];
    const open = this.#open.get(id) ?? this.#load(id).then(openedOf);
    this.#open.delete(id);
    this.#open.set(id, open);
    open.catch(() => this.#open.delete(id));
    for (const oldest of this.#open.keys()) if (this.#open.size > MOST_OPEN) this.#open.delete(oldest);
    return open;
  }

  /**
   * @param {number} part
   * @param {number} picture
   */
  async #draw(part, picture) {
    const { media, samples, ticks } = await this.#opened(part);
    const tick = ticks[picture];
    let isDrawn = false;
    for await (const frame of decoded(media, samplesFor(samples, tick))) {
      if (frame.timestamp === tick) {
        this.#paint(frame);
        isDrawn = true;
      }
      frame.close();
    }
    if (!isDrawn) throw new FormatError("error.film-broken");
    [this.#part, this.#picture] = [part, picture];
    this.onShow(this.#parts[part].begin + msOf(tick));
  }

  /** @param {VideoFrame} frame */
  #paint(frame) {
    const { displayWidth: width, displayHeight: height } = frame;
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
    this.#canvas.getContext("2d", { alpha: false })?.drawImage(frame, 0, 0, width, height);
  }
}

/**
 * The index of the last element of which `is` holds, or 0.
 *
 * @template T
 * @param {T[]} list
 * @param {(one: T) => boolean} is
 */
const newest = (list, is) => list.reduce((found, one, i) => (is(one) ? i : found), 0);

/** @param {Bytes} media */
function openedOf(media) {
  const samples = picturesIn(media);
  return { media, samples, ticks: samples.map(({ at }) => at).sort((one, other) => one - other) };
}

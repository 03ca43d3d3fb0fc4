// Suggests covers for the faces of a clip, and for number plates if asked, film by film. Nothing recognises anyone, and
// no picture leaves the browser.
// The worker loads it only if an owner asks, so it imports nothing of the worker's program but types.
import { atMost, FaceTracker, LEAST_SCORE, SAMPLE_MS } from "../owner/face_tracks.js";
import { bestOf, FaceNetwork } from "./face_network.js";
import { PlateCascade } from "./plate_cascade.js";

/** @import { Bytes } from "../types.js" */
/** @import { Stage } from "./plate_cascade.js" */
/** @import { Box } from "../owner/face_tracks.js" */
/** @typedef {Pick<typeof import("./cover_film.js"), "msOf">} Times */
/** @typedef {Pick<typeof import("./decoded.js"), "decoded">} Decoder */
/** @typedef {Pick<typeof import("./fmp4.js"), "picturesIn">} Reader */

/** The greatest width at which a picture is examined. The second size has half of it, and so on. */
const WIDEST_PX = 1280;
const SIZES = 3;
/** The widest size takes most of the time, so it is examined in each third picture. */
const WIDE_EACH = 3;
/** A taller picture is examined at a smaller width, so that it has no more pixels. */
const MOST_PX = 1280 * 1800;
const PLATES_EACH = 5;
const SURE_HITS = 2;
const LUMA_PX = 640;
/** A picture with a lower mean brightness is brightened to `BRIGHT`, by at most `MOST_GAIN`, before it is examined. */
const DARK = 70;
const BRIGHT = 110;
const MOST_GAIN = 4;

export class CoverSuggester {
  #tracker = new FaceTracker();
  #plateTracker = new FaceTracker("plate");
  #network;
  #cascade;
  #films;
  #beginMs = 0;
  #count = 0;

  /**
   * @param {Bytes} file faces.bin
   * @param {Stage[] | undefined} plates plates.json, to look for number plates, too
   * @param {Times & Decoder & Reader} films what reads a film
   */
  constructor(file, plates, films) {
    this.#network = new FaceNetwork(file);
    this.#cascade = plates && new PlateCascade(plates);
    this.#films = films;
  }

  /**
   * Examines the next film of the clip.
   *
   * @param {Bytes} media
   * @param {number} lengthMs the length of the film by its record
   */
  async add(media, lengthMs) {
    const { decoded, msOf, picturesIn } = this.#films;
    const samples = picturesIn(media);
    const ticks = samples.map(({ at }) => at);
    const lastTick = Math.max(...ticks);
    let nextMs = 0;
    for await (const frame of decoded(media, samples)) {
      try {
        const at = msOf(frame.timestamp);
        if (at > lengthMs || (at < nextMs && frame.timestamp !== lastTick)) continue;
        nextMs = at + SAMPLE_MS;
        this.#examine(this.#beginMs + at, frame);
      } finally {
        frame.close();
      }
    }
    this.#beginMs += lengthMs;
  }

  /** @param {number} most covers that the clip has room for */
  finish(most) {
    return atMost(
      [this.#tracker, this.#plateTracker].flatMap((each) => each.finish(this.#beginMs)),
      most,
    );
  }

  /**
   * @param {number} at
   * @param {VideoFrame} frame
   */
  #examine(at, frame) {
    const { displayWidth: width, displayHeight: height } = frame;
    /** @type {OffscreenCanvas[]} */
    const sizes = [];
    for (let halvings = 0; halvings < SIZES; halvings++) {
      const columns = Math.max(1, widestPx(width, height) >> halvings);
      sizes.push(scaled(sizes[halvings - 1] ?? frame, columns, Math.max(1, Math.round((height * columns) / width))));
    }
    const luma = lumaOf(sizes.find((each) => each.width <= LUMA_PX) ?? sizes[SIZES - 1]);
    const brightness = luma.data.reduce((sum, each) => sum + each, 0) / luma.data.length;
    const gain = brightness < DARK ? Math.min(MOST_GAIN, BRIGHT / Math.max(1, brightness)) : 1;
    const found = [];
    for (const canvas of sizes) {
      const { width: columns, height: rows } = canvas;
      if (columns > LUMA_PX && this.#count % WIDE_EACH) continue;
      const data = pixelsOf(canvas);
      if (gain > 1) for (let i = 0; i < data.length; i++) data[i] *= gain;
      for (const { score, left, top, right, bottom } of this.#network.find(data, columns, rows, LEAST_SCORE))
        found.push({ score, left: left / columns, top: top / rows, right: right / columns, bottom: bottom / rows });
    }
    const plates = this.#cascade && this.#count % PLATES_EACH === 0 ? platesIn(this.#cascade, sizes[0]) : [];
    if (this.#cascade) this.#plateTracker.add(at, luma, plates);
    this.#count++;
    const faces = bestOf(found).map(
      ({ score, left, top, right, bottom }) => /** @type {[number, Box]} */ ([score, [left, top, right, bottom]]),
    );
    this.#tracker.add(at, luma, faces);
  }
}

/**
 * The greatest width, in pixels, at which a picture of this size is examined.
 *
 * @param {number} width
 * @param {number} height
 */
export const widestPx = (width, height) =>
  Math.max(1, Math.min(WIDEST_PX, width, Math.floor(Math.sqrt(Math.floor((MOST_PX * width) / height)))));

/**
 * @param {PlateCascade} cascade
 * @param {OffscreenCanvas} canvas
 */
function platesIn(cascade, canvas) {
  const { width, height } = canvas;
  return cascade
    .find(lumaOf(canvas))
    .map(
      ({ hits, left, top, right, bottom }) =>
        /** @type {[number, Box]} */ ([
          hits / (hits + SURE_HITS),
          [left / width, top / height, right / width, bottom / height],
        ]),
    );
}

/**
 * @param {VideoFrame | OffscreenCanvas} picture
 * @param {number} width
 * @param {number} height
 */
function scaled(picture, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  if (!context) throw new TypeError("no canvas");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  return canvas;
}

/** @param {OffscreenCanvas} canvas */
const pixelsOf = (canvas) =>
  /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d")).getImageData(
    0,
    0,
    canvas.width,
    canvas.height,
  ).data;

/** @param {OffscreenCanvas} canvas */
function lumaOf(canvas) {
  const rgba = pixelsOf(canvas);
  const data = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < data.length; i++)
    data[i] = Math.round(0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2]);
  return { data, rows: canvas.height, columns: canvas.width };
}

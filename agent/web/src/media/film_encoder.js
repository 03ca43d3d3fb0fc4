// Encodes pictures as H.264 with WebCodecs. The rate depends on the size and number of the pictures alone, and never on
// the captured film, because the size of that tells of everything in it.
import { FormatError, PageError } from "../errors.js";
import { concat, equal } from "../wire/bytes.js";

/** @import { Bytes } from "../types.js" */
/** @import { Picture } from "./decoded.js" */

/** Bits for each pixel: 4 Mbit/s for 1280 × 720 at 15 pictures a second. */
const BITS_PER_PIXEL = 0.3;
const LEAST_BITS_PER_S = 400_000;
const MOST_AHEAD = 4;
/** Most macroblocks in a picture and in a second, by level (ITU-T H.264, table A-1). */
const LEVELS = [
  [31, 3_600, 108_000],
  [40, 8_192, 245_760],
  [50, 22_080, 589_824],
  [52, 36_864, 2_073_600],
];
/** High, Main and Constrained Baseline, the most compact first. */
const PROFILES = ["6400", "4d00", "42e0"];
/** NAL units that are left out: messages, parameter sets (they are in the header), borders of pictures, and filling. */
const OUTSIDE = [6, 7, 8, 9, 12];

/**
 * The lowest of our levels for pictures of this size. Undefined if they are too large.
 *
 * @param {number} width
 * @param {number} height
 * @param {number} perSecond
 */
export function levelFor(width, height, perSecond) {
  const blocks = Math.ceil(width / 16) * Math.ceil(height / 16);
  return LEVELS.find(([, most, rate]) => blocks <= most && blocks * perSecond <= rate)?.[0];
}

/**
 * A configuration with which this browser encodes H.264, in software if it can: the same pictures then give the same
 * bytes. Throws `PageError` if there is none.
 *
 * @param {number} width
 * @param {number} height
 * @param {number} perSecond
 * @returns {Promise<VideoEncoderConfig>}
 */
export async function encoderFor(width, height, perSecond) {
  const level = levelFor(width, height, perSecond);
  if (!("VideoEncoder" in globalThis) || !level) throw new PageError("error.no-webcodecs");
  for (const hardwareAcceleration of /** @type {HardwareAcceleration[]} */ (["prefer-software", "no-preference"]))
    for (const profile of PROFILES) {
      /** @type {VideoEncoderConfig} */
      const configuration = {
        codec: `avc1.${profile}${level.toString(16)}`,
        width,
        height,
        bitrate: Math.max(LEAST_BITS_PER_S, Math.round(width * height * perSecond * BITS_PER_PIXEL)),
        framerate: perSecond,
        bitrateMode: "variable",
        latencyMode: "quality",
        hardwareAcceleration,
        avc: { format: "avc" },
      };
      const found = await VideoEncoder.isConfigSupported(configuration).catch(() => null);
      if (found?.supported) return configuration;
    }
  throw new PageError("error.no-webcodecs");
}

/** `add` each picture in order, then `finish`. `close` in any case. */
export class FilmEncoder {
  #encoder;
  /** @type {{ data: Bytes, isKey: boolean }[]} */
  #samples = [];
  /** @type {Bytes | undefined} */
  #configuration;
  /** @type {unknown} */
  #failure;
  #count = 0;
  #wake = () => {};

  /** @param {VideoEncoderConfig} configuration */
  constructor(configuration) {
    this.#encoder = new VideoEncoder({
      output: (chunk, told) => this.#take(chunk, told),
      error: (error) => this.#fail(error),
    });
    this.#encoder.addEventListener("dequeue", () => this.#wake());
    this.#encoder.configure(configuration);
  }

  /**
   * @param {Picture} picture
   * @param {{ atUs: number, isKey: boolean, colorSpace: VideoColorSpaceInit }} options
   */
  async add({ format, width, height, bytes, layout }, { atUs, isKey, colorSpace }) {
    while (this.#encoder.encodeQueueSize >= MOST_AHEAD && !this.#failure)
      await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
    this.#check();
    const made = { format, codedWidth: width, codedHeight: height, timestamp: atUs, layout, colorSpace };
    const frame = new VideoFrame(bytes, made);
    this.#encoder.encode(frame, { keyFrame: isKey });
    frame.close();
    this.#count++;
  }

  /** The samples of the film and the body of its `avcC`. */
  async finish() {
    await this.#encoder.flush().catch((error) => this.#fail(error));
    this.#check();
    const configuration = this.#configuration;
    // An encoder that leaves pictures out would move the others to another time.
    if (!configuration || this.#samples.length !== this.#count) throw new PageError("error.no-webcodecs");
    return { samples: this.#samples, configuration };
  }

  close() {
    if (this.#encoder.state !== "closed") this.#encoder.close();
  }

  #check() {
    if (this.#failure) throw new PageError("error.no-webcodecs");
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#failure ??= error;
    this.#wake();
  }

  /**
   * @param {EncodedVideoChunk} chunk
   * @param {EncodedVideoChunkMetadata} [told]
   */
  #take(chunk, told) {
    const description = told?.decoderConfig?.description;
    if (description) {
      const configuration = new Uint8Array(/** @type {ArrayBuffer} */ (description)).slice();
      if (this.#configuration && !equal(configuration, this.#configuration)) this.#fail("another configuration");
      this.#configuration = configuration;
    }
    const data = new Uint8Array(chunk.byteLength);
    chunk.copyTo(data);
    try {
      this.#samples.push({ data: pictureAlone(data), isKey: chunk.type === "key" });
    } catch (error) {
      this.#fail(error);
    }
  }
}

/**
 * The NAL units of a picture, each behind its length of four bytes.
 *
 * @param {Bytes} sample
 */
export function pictureAlone(sample) {
  const view = new DataView(sample.buffer, sample.byteOffset, sample.length);
  const kept = [];
  for (let at = 0; at < sample.length; ) {
    const end = sample.length - at > 4 ? at + 4 + view.getUint32(at) : Number.POSITIVE_INFINITY;
    if (end > sample.length || end < at + 5) throw new FormatError("error.format", { what: "H.264" });
    if (!OUTSIDE.includes(sample[at + 4] & 0x1f)) kept.push(sample.subarray(at, end));
    at = end;
  }
  return concat(...kept);
}

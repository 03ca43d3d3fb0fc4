// Decodes a film picture by picture with WebCodecs, and reads and fills places in the bytes of a picture.
import { FormatError, PageError } from "../errors.js";
import { decoderOf, picturesIn } from "./fmp4.js";

/** @import { Bytes } from "../types.js" */
/** @import { PixelBox } from "../wire/redactions.js" */
/** @typedef {ReturnType<typeof picturesIn>[number]} Sample one encoded picture */
/**
 * @typedef {{ format: "I420" | "NV12", width: number, height: number, bytes: Bytes, layout: PlaneLayout[] }} Picture
 *   `width` and `height` in pixels
 */

/**
 * @typedef {{ width: number, height: number, planes: Bytes[] }} Planes brightness and two colours of half its width and
 *   height, each row behind the other
 */

/** Pictures that a decoder has at a time. Decoders of phones have few, and stop until they get one back. */
const MOST_AHEAD = 4;
/** Luma and chroma below a cover. */
const [LUMA, CHROMA] = [16, 128];

const broken = () => new FormatError("error.film-broken");

/**
 * The configuration with which this browser decodes the film, in software if it can: hardware may keep the bytes of its
 * pictures to itself. Throws `PageError` if there is none.
 *
 * @param {Bytes} media
 * @returns {Promise<VideoDecoderConfig>}
 */
async function decoderFor(media) {
  if (!("VideoDecoder" in globalThis)) throw new PageError("error.no-webcodecs");
  const film = decoderOf(media);
  for (const hardwareAcceleration of /** @type {HardwareAcceleration[]} */ (["prefer-software", "no-preference"])) {
    const configuration = { ...film, hardwareAcceleration, optimizeForLatency: true };
    const found = await VideoDecoder.isConfigSupported(configuration).catch(() => null);
    if (found?.supported) return configuration;
  }
  throw new PageError(film.codec.startsWith("hvc") ? "error.film-h265" : "error.no-webcodecs");
}

/**
 * The pictures of these samples in the order in which they are shown. The timestamp of each is its `at`, in ticks. The
 * reader closes each before it takes the next.
 *
 * @param {Bytes} media
 * @param {Sample[]} samples from a keyframe on
 */
export async function* decoded(media, samples) {
  const configuration = await decoderFor(media);
  /** @type {VideoFrame[]} */
  const ready = [];
  /** @type {unknown} */
  let failure;
  let wake = () => {};
  const decoder = new VideoDecoder({
    output(frame) {
      ready.push(frame);
      wake();
    },
    error(error) {
      failure = error;
      wake();
    },
  });
  decoder.addEventListener("dequeue", () => wake());
  const news = () => new Promise((resolve) => (wake = () => resolve(undefined)));
  let isFlushed = false;
  try {
    decoder.configure(configuration);
    for (let next = 0; !isFlushed || ready.length > 0; ) {
      if (failure) throw broken();
      const frame = ready.shift();
      if (frame) yield frame;
      else if (next < samples.length && decoder.decodeQueueSize < MOST_AHEAD) {
        decoder.decode(chunkOf(samples[next++]));
        if (next === samples.length)
          decoder
            .flush()
            .catch((error) => (failure ??= error))
            .finally(() => {
              isFlushed = true;
              wake();
            });
      } else await news();
    }
    if (failure) throw broken();
  } finally {
    for (const frame of ready) frame.close();
    if (decoder.state !== "closed") decoder.close();
  }
}

/** @param {Sample} sample */
const chunkOf = ({ at, isKey, data }) => new EncodedVideoChunk({ type: isKey ? "key" : "delta", timestamp: at, data });

/**
 * The samples that a decoder needs for the picture shown at `at`: from the keyframe before it to the picture itself.
 *
 * @param {Sample[]} samples
 * @param {number} at
 */
export function samplesFor(samples, at) {
  const last = samples.findIndex((each) => each.at === at);
  const first = samples.slice(0, last + 1).reduce((found, { isKey }, i) => (isKey ? i : found), -1);
  if (first < 0) throw broken();
  return samples.slice(first, last + 1);
}

/**
 * The bytes of a picture, and the frame closed. Throws if they are no yuv420p: then covers would not end at blocks.
 *
 * @param {VideoFrame} frame
 * @returns {Promise<Picture>}
 */
export async function bytesOf(frame) {
  try {
    const { format, visibleRect } = frame;
    if ((format !== "I420" && format !== "NV12") || !visibleRect) throw new PageError("error.no-webcodecs");
    const bytes = new Uint8Array(frame.allocationSize());
    const layout = await frame.copyTo(bytes);
    return { format, width: visibleRect.width, height: visibleRect.height, bytes, layout };
  } finally {
    frame.close();
  }
}

/**
 * The values of a picture, plane by plane.
 *
 * @param {Picture} picture
 * @returns {Planes}
 */
export function planesOf({ format, width, height, bytes, layout }) {
  const [across, down] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  /**
   * @param {PlaneLayout} plane
   * @param {{ columns: number, rows: number, from?: number, step?: number }} options
   */
  const taken = ({ offset, stride }, { columns, rows, from = 0, step = 1 }) => {
    const made = new Uint8Array(columns * rows);
    for (let y = 0, to = 0; y < rows; y++) {
      const start = offset + y * stride + from;
      if (step === 1) made.set(bytes.subarray(start, start + columns), to);
      else for (let x = 0; x < columns; x++) made[to + x] = bytes[start + x * step];
      to += columns;
    }
    return made;
  };
  const colour = { columns: across, rows: down };
  const colours =
    format === "NV12"
      ? [0, 1].map((from) => taken(layout[1], { ...colour, from, step: 2 }))
      : [1, 2].map((i) => taken(layout[i], colour));
  return { width, height, planes: [taken(layout[0], { columns: width, rows: height }), ...colours] };
}

/**
 * Fills a place of a picture with black.
 *
 * @param {Picture} picture
 * @param {PixelBox} box
 */
export function fill(picture, box) {
  for (const { row, value } of rowsIn(picture, box)) row.fill(value);
}

/**
 * The greatest distance of a value in the box from black.
 *
 * @param {Picture} picture
 * @param {PixelBox} box
 */
export function farthestFromBlack(picture, box) {
  let most = 0;
  for (const { row, value } of rowsIn(picture, box))
    for (const each of row) most = Math.max(most, Math.abs(each - value));
  return most;
}

/**
 * The rows of a box in each plane, and the value that a cover has there.
 *
 * @param {Picture} picture
 * @param {PixelBox} box
 */
function* rowsIn({ format, bytes, layout }, [left, top, right, bottom]) {
  // Half a pixel of colour at the rim of a picture of odd size belongs to the cover too.
  const across = [Math.ceil(left / 2), Math.ceil(right / 2)];
  const down = [Math.ceil(top / 2), Math.ceil(bottom / 2)];
  const [luma, ...chroma] = layout;
  const width = format === "NV12" ? 2 : 1; // both values of a pixel lie side by side
  const planes = [
    { plane: luma, columns: [left, right], rows: [top, bottom], value: LUMA },
    ...chroma.map((plane) => ({ plane, columns: across.map((each) => each * width), rows: down, value: CHROMA })),
  ];
  for (const { plane, columns, rows, value } of planes)
    for (let y = rows[0]; y < rows[1]; y++) {
      const start = plane.offset + y * plane.stride;
      yield { row: bytes.subarray(start + columns[0], start + Math.max(...columns)), value };
    }
}

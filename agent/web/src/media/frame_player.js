// Shows live pictures one by one with WebCodecs, as soon as they have come. A film player would keep a part of a second
// ahead for an even film. It shows no sound: live_player.js plays that in step with its pictures.
import { FormatError } from "../errors.js";
import { decoderOf, fragmentsOf, samplesOf } from "./fmp4.js";
import { Jitter } from "./jitter.js";

/** @import { Bytes, LiveGop } from "../types.js" */

const TICKS_PER_US = 0.09;
/** Pictures that wait for their time. Decoders give only some before they need one back. */
const MOST_WAITING = 8;

/**
 * True if this browser decodes such pictures one by one. They are those of a part with a keyframe.
 *
 * @param {Bytes} media
 */
export async function canShow(media) {
  if (!("VideoDecoder" in globalThis) || !("captureStream" in HTMLCanvasElement.prototype)) return false;
  try {
    return (await VideoDecoder.isConfigSupported(decoderOf(media))).supported === true;
  } catch {
    return false;
  }
}

/** `append` each newest part, from a keyframe on. The same as `live_player.follow`. */
export class FramePlayer {
  hasSound = false;
  #screen;
  #decoder;
  #jitter = new Jitter();
  /** The configuration of the decoder, as text. */
  #form = "";
  /** The doorbell's boot, and where its clock stood when the player began with it, µs: a player counts from 0. */
  #place = { boot: "", origin: 0 };
  /** When the GOP began, µs by the player's time. */
  #begun = 0;
  /** @type {{ frame: VideoFrame, timer: number }[]} In the order in which they are shown. */
  #waiting = [];
  /** @type {unknown} */
  #failure;

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.#screen = screenOf(video);
    this.#decoder = new VideoDecoder({
      output: (frame) => this.#wait(frame),
      error: (error) => (this.#failure = error),
    });
  }

  /** @param {LiveGop} gop */
  async append({ media, continues, order }) {
    if (this.#failure) throw new FormatError("error.film-broken");
    if (!continues) this.#begin(media, order);
    for (const { data, at, isKey } of samplesOf(fragmentsOf(media)))
      this.#decoder.decode(
        new EncodedVideoChunk({
          type: isKey ? "key" : "delta",
          timestamp: this.#begun + at / TICKS_PER_US,
          data,
        }),
      );
  }

  stop() {
    if (this.#decoder.state !== "closed") this.#decoder.close();
    while (this.#waiting.length) this.#drop();
    this.#screen.close();
  }

  /**
   * @param {Bytes} media
   * @param {LiveGop["order"]} order
   */
  #begin(media, [boot, start]) {
    if (boot !== this.#place.boot) this.#place = { boot, origin: start - this.#begun };
    this.#begun = start - this.#place.origin;
    const { codec, description } = decoderOf(media);
    const form = [codec, ...description].join();
    if (form === this.#form) return;
    this.#decoder.configure({ codec, description, optimizeForLatency: true });
    this.#form = form;
  }

  /** @param {VideoFrame} frame */
  #wait(frame) {
    const now = performance.now();
    const timer = setTimeout(() => this.#show(frame), this.#jitter.due(frame.timestamp / 1000, now) - now);
    this.#waiting.push({ frame, timer });
    if (this.#waiting.length > MOST_WAITING) this.#drop();
  }

  /**
   * Earlier pictures that still wait are over.
   *
   * @param {VideoFrame} frame
   */
  #show(frame) {
    while (this.#waiting[0].frame !== frame) this.#drop();
    this.#waiting.shift();
    this.#screen.show(frame);
  }

  #drop() {
    const { frame, timer } = /** @type {{ frame: VideoFrame, timer: number }} */ (this.#waiting.shift());
    clearTimeout(timer);
    frame.close();
  }
}

/**
 * Puts pictures into a <video>, which stays the element for screen readers, full screen and saved pictures.
 *
 * @param {HTMLVideoElement} video
 */
function screenOf(video) {
  const { track, show } = "MediaStreamTrackGenerator" in globalThis ? generated() : captured();
  const stream = new MediaStream([track]);
  video.srcObject = stream;
  video.play().catch(() => {});
  return {
    show,
    close() {
      track.stop();
      if (video.srcObject === stream) video.srcObject = null;
    },
  };
}

/** Chromium shows a picture without a copy. */
function generated() {
  const track = new MediaStreamTrackGenerator({ kind: "video" });
  const writer = track.writable.getWriter();
  return {
    track,
    /** @param {VideoFrame} frame */
    show: (frame) => void writer.write(frame).catch(() => frame.close()),
  };
}

function captured() {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { alpha: false });
  if (!context) throw new FormatError("error.film-broken");
  const [track] = canvas.captureStream().getVideoTracks();
  return {
    track,
    /** @param {VideoFrame} frame */
    show(frame) {
      const { displayWidth, displayHeight } = frame;
      if (canvas.width !== displayWidth) canvas.width = displayWidth;
      if (canvas.height !== displayHeight) canvas.height = displayHeight;
      context.drawImage(frame, 0, 0);
      frame.close();
    },
  };
}

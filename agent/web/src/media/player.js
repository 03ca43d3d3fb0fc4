// Plays the segments of a clip one behind the other: as one stream where the browser can (Media Source Extensions),
// one after the other where it cannot.  Segments are opened as they are needed, the next one ahead of time.
import { FormatError, PageError } from "../errors.js";
import { concat } from "../wire/bytes.js";
import { codecOf, join } from "./fmp4.js";
import { silence, soundOf } from "./sound.js";

/** @import { Bytes, Ears, Load, Playable } from "../types.js" */

/**
 * @typedef {{ onError?: (error: unknown) => void, hear?: (id: string) => Promise<Bytes>, stream?: boolean }}
 *   PlayOptions
 */

const AHEAD_S = 12;

/**
 * True if the sound is intact but sealed to other keys. Every other failure means damage.
 *
 * @param {any} error
 */
const ofSound = (error) =>
  error instanceof FormatError && error.text !== "error.not-yours" ? new FormatError("error.sound-broken") : error;

/**
 * Replaces a browser player's technical message about bytes that are no film.
 *
 * @param {any} error
 */
export const said = (error) => (error instanceof PageError ? error : new FormatError("error.film-broken"));

export const canStream = () => "MediaSource" in globalThis || "ManagedMediaSource" in globalThis;

/**
 * The media type that a player needs for the film. Some platforms cannot play H.265, so the browser is asked first.
 *
 * @param {Bytes} media
 */
export function typeOf(media) {
  const type = `video/mp4; codecs="${codecOf(media)}"`;
  const source = globalThis.MediaSource ?? globalThis.ManagedMediaSource;
  const plays = source ? source.isTypeSupported(type) : document.createElement("video").canPlayType(type) !== "";
  if (!plays && type.includes("hvc1")) throw new FormatError("error.film-h265");
  return type;
}

/**
 * `segments`: `{id, start, end, sound}` in ms; `load(id)` gives `{media}`, `hear(id)` the sound of those that have
 * some. If a sound cannot be played, `onError` learns of it and the film goes on silently. Returns a function that
 * stops everything.
 *
 * @param {HTMLVideoElement} video
 * @param {Playable[]} segments
 * @param {Load} load
 * @param {PlayOptions} [options]
 * @returns {() => void}
 */
export function play(video, segments, load, { onError, hear, stream = canStream() } = {}) {
  let playing = new AbortController();
  /** @param {typeof hear} ear */
  function begin(ear) {
    playing = new AbortController();
    const { signal } = playing;
    /** @param {any} error */
    const failed = (error) => {
      if (signal.aborted) return;
      playing.abort();
      // Errors of class PageError come from the picture: `listening` has already caught those of the sound.
      const isSounds = ear && !(error instanceof PageError);
      onError?.(isSounds ? new FormatError("error.sound-broken") : said(error));
      if (isSounds) begin(undefined);
    };
    video.addEventListener("error", failed, { signal });
    const ears = ear && listening(ear, (error) => signal.aborted || onError?.(error));
    (stream ? playStream : playInTurn)(video, segments, load, ears, signal).catch(failed);
  }
  begin(hear && segments.some((each) => each.sound) ? hear : undefined);
  return () => {
    playing.abort();
    video.pause();
    video.removeAttribute("src");
    video.load();
  };
}

/**
 * `(segment)` gives its sound, or undefined if there is none to play. A failure is reported once.
 *
 * @param {(id: string) => Promise<Bytes>} hear
 * @param {(error: unknown) => void} say
 */
function listening(hear, say) {
  let isSaid = false;
  return async (/** @type {Playable} */ { id, sound }) => {
    if (!sound) return undefined;
    try {
      const media = await hear(id);
      soundOf(media);
      return media;
    } catch (error) {
      if (!isSaid) say(ofSound(error));
      isSaid = true;
      return undefined;
    }
  };
}

/**
 * @param {HTMLVideoElement} video
 * @param {Playable[]} segments
 * @param {Load} load
 * @param {Ears | undefined} ears
 * @param {AbortSignal} signal
 */
async function playStream(video, segments, load, ears, signal) {
  const managed = "ManagedMediaSource" in globalThis && !("MediaSource" in globalThis);
  const source = managed && globalThis.ManagedMediaSource ? new globalThis.ManagedMediaSource() : new MediaSource();
  // Safari opens a ManagedMediaSource only if remote playback is off, or has another source.
  if (managed) video.disableRemotePlayback = true;
  const url = URL.createObjectURL(source);
  video.src = url;
  await once(source, "sourceopen", signal);
  URL.revokeObjectURL(url);
  const from = segments[0].start;
  const first = ears && (await firstHeard(segments, ears));
  if (signal.aborted) return;
  let buffer;
  let sounds;
  // Two clips of one event have a pause between them. It holds no footage, so playback jumps over it.
  video.addEventListener("waiting", () => jumpPause(video), { signal });
  for (const [i, segment] of segments.entries()) {
    await needed(video, (segment.start - from) / 1000, signal);
    const { media } = await load(segment.id);
    if (signal.aborted) return;
    const type = typeOf(media);
    if (!buffer) {
      buffer = source.addSourceBuffer(type);
      if (first) sounds = source.addSourceBuffer(first.type);
      source.duration = (segments[segments.length - 1].end - from) / 1000;
    } else {
      buffer.changeType?.(type);
    }
    buffer.timestampOffset = (segment.start - from) / 1000;
    buffer.appendBuffer(media);
    await once(buffer, "updateend", signal);
    if (sounds && first && ears) {
      const heard = await ears(segment);
      if (signal.aborted) return;
      sounds.timestampOffset = buffer.timestampOffset;
      // Silence first, also where a sound follows: a player stops at a hole in one of its tracks.
      sounds.appendBuffer(concat(first.head, silence(first, segment.end - segment.start)));
      await once(sounds, "updateend", signal);
      if (heard && !signal.aborted) {
        sounds.appendBuffer(heard);
        await once(sounds, "updateend", signal);
      }
    }
    if (i === 0) video.play().catch(() => {});
  }
  if (source.readyState === "open") source.endOfStream();
}

/**
 * A player has to know of all its tracks before it gets the first.
 *
 * @param {Playable[]} segments
 * @param {Ears} ears
 */
async function firstHeard(segments, ears) {
  for (const segment of segments) {
    const media = await ears(segment);
    if (media) return soundOf(media);
  }
  return null;
}

/** @param {HTMLVideoElement} video */
export function jumpPause(video) {
  for (let i = 0; i < video.buffered.length; i++) {
    if (video.buffered.start(i) > video.currentTime) {
      video.currentTime = video.buffered.start(i);
      return;
    }
  }
}

/**
 * Until the player comes within reach of `at`, or looks for it.
 *
 * @param {HTMLVideoElement} video
 * @param {number} at
 * @param {AbortSignal} signal
 */
async function needed(video, at, signal) {
  while (!signal.aborted && video.currentTime + AHEAD_S < at) {
    await Promise.race([once(video, "timeupdate", signal), once(video, "seeking", signal)]);
  }
}

/**
 * @param {HTMLVideoElement} video
 * @param {Playable[]} segments
 * @param {Load} load
 * @param {Ears | undefined} ears
 * @param {AbortSignal} signal
 */
async function playInTurn(video, segments, load, ears, signal) {
  /** @param {Playable} segment */
  const film = async (segment) => {
    const [{ media }, sound] = await Promise.all([load(segment.id), ears?.(segment)]);
    typeOf(media);
    return sound ? join([{ media, sound, start: segment.start }]) : media;
  };
  let next = film(segments[0]);
  for (const [i] of segments.entries()) {
    const media = await next;
    if (signal.aborted) return;
    const url = URL.createObjectURL(new Blob([media], { type: "video/mp4" }));
    video.src = url;
    if (segments[i + 1]) next = film(segments[i + 1]);
    video.play().catch(() => {});
    await once(video, "ended", signal);
    URL.revokeObjectURL(url);
  }
}

/**
 * @param {any} target
 * @param {string} name
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function once(target, name, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return resolve();
    // Removes the listeners of the events that lost the race: a live view waits for something each second, for hours.
    const waiting = new AbortController();
    const options = { once: true, signal: waiting.signal };
    /** @param {(what?: any) => void} how */
    const settle =
      (how) =>
      (/** @type {any} */ what = undefined) => {
        waiting.abort();
        how(what);
      };
    target.addEventListener(name, settle(resolve), options);
    target.addEventListener("error", () => settle(reject)(target.error ?? new Error(name)), options);
    signal.addEventListener("abort", () => settle(resolve)(), options);
    return undefined;
  });
}

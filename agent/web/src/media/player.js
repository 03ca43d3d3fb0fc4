// Plays the segments of a clip one behind the other: as one stream where the browser can (Media Source Extensions),
// one after the other where it cannot.  Segments are opened as they are needed, the next one ahead of time.
import { codecOf } from "./fmp4.js";

const AHEAD_S = 12;

export const canStream = () => "MediaSource" in globalThis || "ManagedMediaSource" in globalThis;

/** `segments`: `{id, start, end}` in ms; `load(id)` gives `{media}`.  Returns a function that stops everything. */
export function play(video, segments, load, { onError, stream = canStream() } = {}) {
  const playing = new AbortController();
  const started = stream ? playStream(video, segments, load, playing.signal) : playInTurn(video, segments, load, playing.signal);
  started.catch((error) => {
    if (!playing.signal.aborted) onError?.(error);
  });
  return () => {
    playing.abort();
    video.pause();
    video.removeAttribute("src");
    video.load();
  };
}

async function playStream(video, segments, load, signal) {
  const managed = "ManagedMediaSource" in globalThis && !("MediaSource" in globalThis);
  const source = managed ? new globalThis.ManagedMediaSource() : new MediaSource();
  if (managed) video.disableRemotePlayback = true;
  const url = URL.createObjectURL(source);
  video.src = url;
  await once(source, "sourceopen", signal);
  URL.revokeObjectURL(url);
  const from = segments[0].start;
  let buffer;
  // Two clips of one event have a pause between them: nothing was recorded there, so nothing is waited for.
  video.addEventListener("waiting", () => jumpPause(video), { signal });
  for (const [i, segment] of segments.entries()) {
    await needed(video, (segment.start - from) / 1000, signal);
    const { media } = await load(segment.id);
    if (signal.aborted) return;
    const type = `video/mp4; codecs="${codecOf(media)}"`;
    if (!buffer) {
      buffer = source.addSourceBuffer(type);
      source.duration = (segments.at(-1).end - from) / 1000;
    } else {
      buffer.changeType?.(type);
    }
    buffer.timestampOffset = (segment.start - from) / 1000;
    buffer.appendBuffer(media);
    await once(buffer, "updateend", signal);
    if (i === 0) video.play().catch(() => {});
  }
  if (source.readyState === "open") source.endOfStream();
}

function jumpPause(video) {
  for (let i = 0; i < video.buffered.length; i++) {
    if (video.buffered.start(i) > video.currentTime) {
      video.currentTime = video.buffered.start(i);
      return;
    }
  }
}

/** Until the player comes within reach of `at`, or looks for it. */
async function needed(video, at, signal) {
  while (!signal.aborted && video.currentTime + AHEAD_S < at) {
    await Promise.race([once(video, "timeupdate", signal), once(video, "seeking", signal)]);
  }
}

async function playInTurn(video, segments, load, signal) {
  let next = load(segments[0].id);
  for (const [i] of segments.entries()) {
    const { media } = await next;
    if (signal.aborted) return;
    const url = URL.createObjectURL(new Blob([media], { type: "video/mp4" }));
    video.src = url;
    if (segments[i + 1]) next = load(segments[i + 1].id);
    video.play().catch(() => {});
    await once(video, "ended", signal);
    URL.revokeObjectURL(url);
  }
}

function once(target, name, signal) {
  return new Promise((resolve, reject) => {
    const options = { once: true, signal };
    target.addEventListener(name, resolve, options);
    target.addEventListener("error", () => reject(target.error ?? new Error(name)), options);
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Follows what is being recorded: `append` each newest segment as it is sealed.  `{append, stop}`. */
export async function follow(video) {
  const following = new AbortController();
  const { signal } = following;
  let turn = Promise.resolve();
  let append = inTurn;
  if (canStream() && "MediaSource" in globalThis) {
    const source = new MediaSource();
    const url = URL.createObjectURL(source);
    video.src = url;
    await once(source, "sourceopen", signal);
    URL.revokeObjectURL(url);
    let buffer;
    append = async ({ media }) => {
      const type = `video/mp4; codecs="${codecOf(media)}"`;
      buffer ??= source.addSourceBuffer(type);
      buffer.mode = "sequence";
      buffer.appendBuffer(media);
      await once(buffer, "updateend", signal);
      const edge = video.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0;
      if (edge - video.currentTime > 10) video.currentTime = Math.max(0, edge - 5);
      video.play().catch(() => {});
    };
  }
  async function inTurn({ media }) {
    const url = URL.createObjectURL(new Blob([media], { type: "video/mp4" }));
    video.src = url;
    await video.play().catch(() => {});
    await once(video, "ended", signal);
    URL.revokeObjectURL(url);
  }
  return {
    append: (segment) => (turn = turn.then(() => (signal.aborted ? undefined : append(segment)))),
    stop() {
      following.abort();
      video.pause();
      video.removeAttribute("src");
      video.load();
    },
  };
}

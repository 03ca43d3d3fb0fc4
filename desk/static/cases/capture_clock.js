// Converts between capture times (UTC ms, by a doorbell's clock) and places in a film. The segments of a clip play one
// right behind the other in its film, so a pause between two of them exists only in capture time.

/** @typedef {[number, number]} Span First and last millisecond. */
/**
 * @typedef {{
 *   id: number, watch: string, from: number, to: number, segments: Span[], clock: string, doubtful: boolean,
 *   label: string
 * }} Clip
 */
/** @typedef {{ name: string, clips: Clip[] }} Door */

const SHORTEST_GAP_MS = 500;
/** A shorter pause between two segments is the rounding of their times. The library counts gaps in the same way. */

/**
 * Returns the place in the film, in seconds. Null if no segment of the clip holds that time.
 *
 * @param {Span[]} segments In order.
 * @param {number} at
 */
export function filmSeconds(segments, at) {
  let before = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const [from, to] of segments) {
    if (at < from) return from - end < SHORTEST_GAP_MS ? before / 1000 : null;
    if (at < to) return (before + at - from) / 1000;
    before += to - from;
    end = to;
  }
  return null;
}

/**
 * Returns the capture time of a place in the film.
 *
 * @param {Span[]} segments In order.
 * @param {number} seconds
 */
export function captureTime(segments, seconds) {
  let left = seconds * 1000;
  for (const [from, to] of segments) {
    if (left < to - from) return from + left;
    left -= to - from;
  }
  return segments[segments.length - 1][1];
}

/**
 * Returns the clip that shows a time: one with film there before one with a gap there.
 *
 * @param {Clip[]} clips
 * @param {number} at
 */
export function clipAt(clips, at) {
  const here = clips.filter((clip) => clip.segments.length && clip.from <= at && at < clip.to);
  return here.find((clip) => filmSeconds(clip.segments, at) !== null) ?? here[0];
}

/**
 * Returns the gap around a time inside a clip: where the segment before ends and the next one begins.
 *
 * @param {Clip} clip
 * @param {number} at
 * @returns {Span}
 */
export function gapAt(clip, at) {
  const before = clip.segments.filter(([, to]) => to <= at).map(([, to]) => to);
  const after = clip.segments.filter(([from]) => from > at).map(([from]) => from);
  return [Math.max(clip.from, ...before), Math.min(clip.to, ...after)];
}

/**
 * True if any door has film at that time.
 *
 * @param {Door[]} doors
 * @param {number} at
 */
export function isFilmed(doors, at) {
  return doors.some(({ clips }) => clips.some((clip) => filmSeconds(clip.segments, at) !== null));
}

/**
 * Returns the time at which the next film begins. Null if there is none.
 *
 * @param {Door[]} doors
 * @param {number} at
 */
export function nextFilm(doors, at) {
  const starts = doors.flatMap(({ clips }) => clips.flatMap(({ segments }) => segments.map(([from]) => from)));
  const later = starts.filter((start) => start > at);
  return later.length ? Math.min(...later) : null;
}

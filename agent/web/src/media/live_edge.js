// The order of live parts, and how closely a player follows the newest one.

/** @import { LiveGop } from "../types.js" */

const STALE_MS = 30_000;
/** Seconds that a live picture may fall behind its newest part: beyond the first it plays faster, then it jumps. */
const SLACK_S = 0.35;
const LOST_S = 1.5;

/**
 * A viewer who joins while another looks gets what is still kept. It is shown from its last keyframe on: what came
 * before is over.
 *
 * @param {LiveGop[]} gops
 */
export function fromKeyframe(gops) {
  const last = gops.map((gop) => !gop.continues).lastIndexOf(true);
  return last > 0 ? gops.slice(last) : gops;
}

/** Says which live parts can be shown. */
export class LiveOrder {
  /** @type {{ boot: string, end: number } | null} The end of the newest part, by the doorbell's clock since boot. */
  #last = null;
  /** True if everything since the newest keyframe has come. */
  #isWhole = false;
  /** The next GOP is of the other encoding, and may overlap what was shown. */
  #isOther = false;

  /** True once a part has come that was not too old. */
  get hasBegun() {
    return this.#last !== null;
  }

  /**
   * "show"; "old" if it was filmed long ago; "skip" for a repetition, and for a part that needs a missing part.
   *
   * @param {LiveGop} gop
   * @param {number} now UTC ms
   */
  take(gop, now) {
    const [boot, start, end] = gop.order;
    if (gop.span.quality === "synced" && now - gop.span.end > STALE_MS) return "old";
    const last = this.#last;
    const isSameBoot = last !== null && last.boot === boot;
    const isOther = this.#isOther && !gop.continues;
    if (isSameBoot && start < last.end && !isOther) return "skip";
    if (isOther) this.#isOther = false;
    // A part of a long GOP needs the part before it to decode. If one is missing, playback waits for the next keyframe.
    this.#isWhole = !gop.continues || (this.#isWhole && isSameBoot && last.end === start);
    this.#last = { boot, end };
    return this.#isWhole ? "show" : "skip";
  }

  /** Small pictures begin or end: playback goes on with their next keyframe. */
  change() {
    [this.#isOther, this.#isWhole] = [true, false];
  }

  /** The player has lost what it had: playback waits for the next keyframe. */
  restart() {
    this.#isWhole = false;
  }
}

/**
 * Keeps a live picture close to its newest part: by rate if it is a little behind, else by a jump. A hole that plays
 * no further is jumped over.
 *
 * @param {Pick<HTMLVideoElement, "buffered" | "currentTime" | "playbackRate">} video
 */
export function catchUp(video) {
  const ranges = video.buffered;
  if (!ranges.length) return;
  const [start, edge] = [ranges.start(ranges.length - 1), ranges.end(ranges.length - 1)];
  const behind = edge - video.currentTime;
  if (behind > LOST_S || video.currentTime < start) video.currentTime = Math.max(start, edge - SLACK_S / 2);
  video.playbackRate = behind > SLACK_S ? 1.1 : 1;
}

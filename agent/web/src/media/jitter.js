// When a live picture is shown: as early as its way allows, and in an even rhythm although the way is uneven.

/** The shortest way of the newest pictures counts. Clocks of two machines drift apart by less in this time. */
const WINDOW_MS = 5_000;
/** Pictures wait at most this long for later ones to catch up. */
const MOST_MS = 120;
/** A picture that is later than this has waited, for example behind a keyframe, and says nothing of the way. */
const BEHIND_MS = 300;
/** For each picture: an uneven moment is forgotten within seconds. */
const FADES = 0.97;

/** Times are in ms, those of the doorbell on its own clock. */
export class Jitter {
  #least = Number.POSITIVE_INFINITY;
  #leastBefore = Number.POSITIVE_INFINITY;
  #since = Number.NEGATIVE_INFINITY;
  #spread = 0;

  /**
   * The time at which a picture that was taken `at` and is there `now` is to be shown.
   *
   * @param {number} at
   * @param {number} now
   */
  due(at, now) {
    const way = now - at;
    if (now - this.#since > WINDOW_MS) {
      this.#leastBefore = this.#least;
      this.#least = Number.POSITIVE_INFINITY;
      this.#since = now;
    }
    this.#least = Math.min(this.#least, way);
    const least = Math.min(this.#least, this.#leastBefore);
    const late = way - least;
    this.#spread *= FADES;
    if (late < BEHIND_MS) this.#spread = Math.min(MOST_MS, Math.max(this.#spread, late));
    return Math.max(now, at + least + this.#spread);
  }
}

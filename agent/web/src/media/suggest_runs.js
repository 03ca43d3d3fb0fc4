// The searches for faces that the page has begun. An owner may close a clip while its films are fetched, and begin with
// another one. The newest search alone counts, and each film goes to the search that asked for it.

/** @import { Bytes } from "../types.js" */
/** @import { Draft } from "../owner/cover_draft.js" */
/**
 * @typedef {{ add: (media: Bytes, lengthMs: number) => Promise<void>, finish: (most: number) => Draft[] }} Suggester
 */

export class SuggestRuns {
  /** @type {Suggester | undefined} */
  #newest;
  #run = 0;

  /**
   * Returns the number of a new search.
   *
   * @param {Suggester} suggester
   */
  begin(suggester) {
    this.#newest = suggester;
    return ++this.#run;
  }

  /**
   * Adds the next film of the clip, unless another search has begun.
   *
   * @param {number} run
   * @param {() => Promise<Bytes>} open
   * @param {number} lengthMs
   */
  async add(run, open, lengthMs) {
    if (run !== this.#run) return;
    const suggester = this.#newest;
    const media = await open();
    if (run === this.#run) await suggester?.add(media, lengthMs);
  }

  /**
   * The covers that the search suggests. None if another one has begun.
   *
   * @param {number} run
   * @param {number} most
   */
  finish(run, most) {
    if (run !== this.#run) return [];
    const found = this.#newest?.finish(most) ?? [];
    this.#newest = undefined;
    return found;
  }
}

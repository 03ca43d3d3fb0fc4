// The searches through the films of a clip that the page has begun: for faces, or for what a cover follows. An owner
// may close a clip while its films are fetched, and begin with another one. The newest search alone counts, and each
// film goes to the search that asked for it.

/** @import { Bytes } from "../types.js" */
/**
 * @template T what is found
 * @typedef {{ add: (media: Bytes, lengthMs: number) => Promise<void>, finish: (most: number) => T }} Search
 */

/** @template T */
export class SuggestRuns {
  /** @type {Search<T> | undefined} */
  #newest;
  #run = 0;

  /**
   * Returns the number of a new search.
   *
   * @param {Search<T>} search
   */
  begin(search) {
    this.#newest = search;
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
    const search = this.#newest;
    const media = await open();
    if (run === this.#run) await search?.add(media, lengthMs);
  }

  /**
   * Everything that the search has found; undefined if another one has begun.
   *
   * @param {number} run
   * @param {number} most covers
   */
  finish(run, most) {
    if (run !== this.#run) return undefined;
    const found = this.#newest?.finish(most);
    this.#newest = undefined;
    return found;
  }
}

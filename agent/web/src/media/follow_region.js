// Follows what an owner has drawn a cover on through the films of a clip (agent/clients/media/follow.py). No picture
// leaves the browser.
// The worker loads it only if an owner asks, so it imports nothing of the worker's program but types.
import { halved, RegionTracks, WIDEST_PX } from "../owner/region_tracks.js";

/** @import { Bytes } from "../types.js" */
/** @import { Luma } from "../owner/face_tracks.js" */
/** @import * as Wire from "../wire/generated.js" */
/** @typedef {Pick<typeof import("./cover_film.js"), "msOf">} Times */
/** @typedef {Pick<typeof import("./decoded.js"), "bytesOf" | "decoded" | "planesOf">} Decoder */
/** @typedef {Pick<typeof import("./fmp4.js"), "picturesIn">} Reader */

export class RegionFollower {
  #tracks;
  #films;

  /**
   * @param {{ hand: Wire.Place[], from: number, until: number, lengths: number[] }} cover times are ms of the clip
   * @param {Times & Decoder & Reader} films what reads a film
   */
  constructor({ hand, from, until, lengths }, films) {
    this.#tracks = new RegionTracks(hand, from, until, lengths);
    this.#films = films;
  }

  /** The numbers of the films in the order in which `add` takes them. Most come twice. */
  get order() {
    return this.#tracks.order;
  }

  /**
   * Follows through the next film of the order.
   *
   * @param {Bytes} media
   */
  async add(media) {
    const { decoded, msOf, picturesIn } = this.#films;
    const samples = picturesIn(media);
    const wanted = this.#tracks.moments(samples.map(({ at }) => msOf(at)).sort((one, other) => one - other));
    /** @type {[number, Luma][]} */
    const pictures = [];
    if (wanted.length)
      for await (const frame of decoded(media, samples)) {
        const at = msOf(frame.timestamp);
        if (at < wanted[pictures.length]) {
          frame.close();
          continue;
        }
        pictures.push([at, await this.#lumaOf(frame)]);
        if (pictures.length === wanted.length) break;
      }
    this.#tracks.add(pictures);
  }

  finish() {
    return this.#tracks.finish();
  }

  /**
   * The values that the decoder gives, so that the command line follows to the same places.
   *
   * @param {VideoFrame} frame
   */
  async #lumaOf(frame) {
    const { bytesOf, planesOf } = this.#films;
    const { width, height, planes } = planesOf(await bytesOf(frame));
    /** @type {Luma} */
    let luma = { data: planes[0], rows: height, columns: width };
    while (luma.columns > WIDEST_PX) luma = halved(luma);
    return luma;
  }
}

// Follows what is being recorded: each newest part is played as it comes, in step with its sound.
import { concat } from "../wire/bytes.js";
import { fragmentsOf } from "./fmp4.js";
import { catchUp } from "./live_edge.js";
import { canStream, jumpPause, once, said, typeOf } from "./player.js";
import { silence, soundOf } from "./sound.js";

/** @import { Bytes, LiveGop } from "../types.js" */
/** @import { Sound } from "./sound.js" */

/** Seconds between two sounds that are taken for one: the doorbell's two clocks differ by less than a packet. */
const NEAR_S = 0.03;
/** Sound that is missing for this long is replaced by silence, because a player stops at the end of either track. */
const MISSING_S = 1.5;
/** A film player gets this much at a time: single pictures would cost it more than they are early. */
const TAKES_US = 200_000;
/** Pictures that begin closer than this to the end of the ones before follow them. */
const FOLLOWS_US = 50_000;

/**
 * `append` each newest part. `hasSound`: its sound is played too. A part in a browser without Media Source Extensions
 * plays alone and silently.
 *
 * @param {HTMLVideoElement} video
 * @param {boolean} withSound
 */
export async function follow(video, withSound) {
  const following = new AbortController();
  const { signal } = following;
  const stream = canStream() && "MediaSource" in globalThis ? await LiveStream.into(video, withSound, signal) : null;
  let turn = Promise.resolve();
  /** @param {LiveGop} gop */
  const append = (gop) => (stream ? stream.append(gop) : alone(video, gop, signal));
  return {
    get hasSound() {
      return stream?.hasSound ?? false;
    },
    /** @param {LiveGop} gop */
    append(gop) {
      turn = turn.then(() => (signal.aborted ? undefined : append(gop)));
      return turn.catch((error) => Promise.reject(said(error)));
    },
    stop() {
      following.abort();
      video.pause();
      video.removeAttribute("src");
      video.load();
    },
  };
}

/**
 * @param {HTMLVideoElement} video
 * @param {LiveGop} gop
 * @param {AbortSignal} signal
 */
async function alone(video, { media, continues }, signal) {
  if (continues) return; // it plays behind its keyframe alone, which this way cannot
  typeOf(media);
  const url = URL.createObjectURL(new Blob([media], { type: "video/mp4" }));
  video.src = url;
  await video.play().catch(() => {});
  await once(video, "ended", signal);
  URL.revokeObjectURL(url);
}

/** One stream of pictures and sound, both at their time by the doorbell's clock. */
class LiveStream {
  #video;
  #source;
  #signal;
  #withSound;
  /** @type {SourceBuffer | undefined} */
  #pictures;
  /** @type {SourceBuffer | undefined} */
  #sounds;
  /** Where the doorbell's boot lies on the player's time, and where its pictures end, µs. */
  #place = { boot: "", origin: 0, end: 0 };
  #heardUntilS = 0;
  /** @type {LiveGop[]} Parts that have come and are not in the player yet. */
  #held = [];
  /** @type {Sound | undefined} The header that the sound's player has. */
  #heard;

  /**
   * @param {HTMLVideoElement} video
   * @param {MediaSource} source
   * @param {boolean} withSound
   * @param {AbortSignal} signal
   */
  constructor(video, source, withSound, signal) {
    this.#video = video;
    this.#source = source;
    this.#withSound = withSound;
    this.#signal = signal;
    video.addEventListener("waiting", () => jumpPause(video), { signal });
  }

  /**
   * @param {HTMLVideoElement} video
   * @param {boolean} withSound
   * @param {AbortSignal} signal
   */
  static async into(video, withSound, signal) {
    const source = new MediaSource();
    const url = URL.createObjectURL(source);
    video.src = url;
    await once(source, "sourceopen", signal);
    URL.revokeObjectURL(url);
    return new LiveStream(video, source, withSound, signal);
  }

  get hasSound() {
    return this.#sounds !== undefined;
  }

  /** @param {LiveGop} gop */
  async append(gop) {
    if (!gop.continues) await this.#play();
    this.#held.push(gop);
    const lasts = gop.order[2] - this.#held[0].order[1];
    if (lasts >= TAKES_US || !this.#pictures) await this.#play();
  }

  async #play() {
    const [gop] = this.#held;
    if (!gop) return;
    const [held, pictures] = [this.#held, this.#pictures ?? this.#begin(gop)];
    this.#held = [];
    if (!gop.continues) {
      this.#settle(gop, pictures);
      pictures.changeType?.(typeOf(gop.media));
    }
    await this.#put(pictures, concat(...held.map(({ media, continues }) => (continues ? fragmentsOf(media) : media))));
    this.#place.end = held[held.length - 1].order[2];
    for (const each of held) if (this.#sounds) await this.#hear(each, this.#sounds);
    if (this.#signal.aborted) return;
    catchUp(this.#video);
    this.#video.play().catch((error) => {
      // A browser may refuse a sound that no tap has asked for.
      if (error.name === "NotAllowedError") this.#video.muted = true;
    });
  }

  /**
   * A player has to know of all its tracks before it gets the first.
   *
   * @param {LiveGop} gop
   */
  #begin({ media, sound }) {
    const pictures = this.#source.addSourceBuffer(typeOf(media));
    this.#pictures = pictures;
    if (sound && this.#withSound) this.#sounds = this.#source.addSourceBuffer(soundOf(sound.media, true).type);
    return pictures;
  }

  /**
   * A GOP that follows stays at its time. Another boot, and what comes after a pause, follows what is there.
   *
   * @param {LiveGop} gop
   * @param {SourceBuffer} pictures
   */
  #settle({ order: [boot, start] }, pictures) {
    const place = this.#place;
    if (place.boot !== boot || Math.abs(start - place.end) > FOLLOWS_US)
      this.#place = { boot, origin: start - edgeOf(pictures) * 1e6, end: start };
    pictures.timestampOffset = this.#at(start);
  }

  /** @param {number} us */
  #at(us) {
    return (us - this.#place.origin) / 1e6;
  }

  /**
   * @param {SourceBuffer} buffer
   * @param {Bytes} media
   */
  async #put(buffer, media) {
    if (this.#signal.aborted) return;
    buffer.appendBuffer(media);
    await once(buffer, "updateend", this.#signal);
  }

  /**
   * @param {LiveGop} gop
   * @param {SourceBuffer} sounds
   */
  async #hear({ sound, order }, sounds) {
    if (sound) {
      const heard = soundOf(sound.media, true);
      if (heard.type !== this.#heard?.type || heard.rate !== this.#heard.rate) {
        if (this.#heard) sounds.changeType?.(heard.type);
        await this.#put(sounds, heard.head);
        this.#heard = heard;
      }
      const at = this.#at(sound.start);
      if (!heard.isEmpty)
        await this.#lay(sounds, Math.abs(at - this.#heardUntilS) < NEAR_S ? this.#heardUntilS : at, sound.media);
    }
    const missing = this.#at(order[2]) - this.#heardUntilS;
    if (!this.#heard || missing < MISSING_S) return;
    const quiet = silence(this.#heard, missing * 1000);
    if (quiet.length) await this.#lay(sounds, this.#heardUntilS, concat(this.#heard.head, quiet));
  }

  /**
   * @param {SourceBuffer} sounds
   * @param {number} at
   * @param {Bytes} media
   */
  async #lay(sounds, at, media) {
    if (this.#signal.aborted) return;
    sounds.timestampOffset = at;
    await this.#put(sounds, fragmentsOf(media));
    this.#heardUntilS = Math.max(this.#heardUntilS, edgeOf(sounds));
  }
}

/** @param {SourceBuffer} buffer */
const edgeOf = ({ buffered }) => (buffered.length ? buffered.end(buffered.length - 1) : 0);

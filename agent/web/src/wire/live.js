// Opens the parts of live view in their order (agent/core/vault/FORMAT.md, "Live"): a part that begins a GOP brings the
// media key, sealed to the viewers.
import { FormatError, OpenError, PageError } from "../errors.js";
import { open as openAge } from "./age.js";
import { unbase64 } from "./bytes.js";
import { anyText, integer, object, version1 } from "./schema.js";
import { readLive } from "./segment.js";
import { frameOpener } from "./sframe.js";
import { decode } from "./strictjson.js";

/** @import { Bytes, LiveGop } from "../types.js" */

const LARGEST_KEY = 1024;
const KEY_BYTES = 32;
const isKey = object({ v: version1, kid: integer(0, Number.MAX_SAFE_INTEGER), key: anyText });

export class LiveOpener {
  #identity;
  #device;
  #isNewcomer;
  /** The sealed key of the newest GOP, as text. */
  #file = "";
  /** @type {Awaited<ReturnType<typeof frameOpener>> | undefined} */
  #open;

  /**
   * @param {string} identity
   * @param {string} device
   * @param {{ isNewcomer?: boolean }} [options] `isNewcomer`: parts from before this key watched are left out
   */
  constructor(identity, device, { isNewcomer = false } = {}) {
    this.#identity = identity;
    this.#device = device;
    this.#isNewcomer = isNewcomer;
  }

  /**
   * The part, or undefined if it is for others.
   *
   * @param {Bytes} part
   * @returns {Promise<LiveGop | undefined>}
   */
  async open(part) {
    const size = part.length < 4 ? part.length : new DataView(part.buffer, part.byteOffset).getUint32(0);
    if (4 + size > part.length) throw new FormatError("error.format", { what: "live" });
    if (size) await this.#take(part.subarray(4, 4 + size));
    if (!this.#open && this.#isNewcomer) return undefined;
    if (!this.#open) throw new OpenError("error.does-not-open");
    return readLive(await this.#open(part.subarray(4 + size)), this.#device);
  }

  /** @param {Bytes} file */
  async #take(file) {
    const text = file.join();
    if (text === this.#file) return;
    this.#open = undefined;
    this.#file = "";
    try {
      const { kid, key } = isKey(decode(await openAge(file, this.#identity), LARGEST_KEY));
      const base = unbase64(key);
      if (base.length !== KEY_BYTES) throw new FormatError("error.format", { what: "live" });
      this.#open = await frameOpener(base, BigInt(kid));
      this.#file = text;
    } catch (error) {
      const isForOthers = error instanceof PageError && error.text === "error.does-not-open";
      if (!this.#isNewcomer || !isForOthers) throw error;
    }
  }
}

// Asks the doorbell through the link: over any carrier of its frames, with the operations of the page (LINK.md).
import { FormatError, LostError, PageError, RefusedError } from "./errors.js";
import { frame, patienceFor, readFrame } from "./link.js";
import { concat, randomBytes } from "./wire/bytes.js";
import { ClientHandshake, ENDED } from "./wire/link.js";
import { BODY_BYTES } from "./wire/operations.js";

/** @import { Bytes, PublicKey } from "./types.js" */
/** @import { Arguments } from "./link.js" */
/** @import { ControlOperations } from "./wire/generated.js" */
/** @import { LinkSession } from "./wire/link.js" */

/**
 * Passes frames on, in their order, each whole. The session sets the two callbacks. An empty frame ends the session.
 *
 * @typedef {{ send: (frame: Uint8Array) => void, close: () => void, onframe: (frame: Uint8Array) => void,
 *   onclose: (error?: Error) => void }} Carrier
 */

const HANDSHAKE_MS = 15_000;
const PING_MS = 20_000;
const LARGEST_ANSWER = 96 * 1024 * 1024;

/**
 * Begins a session. Throws OpenError if another doorbell answers, LostError if none does, and PageError with the reason
 * if the doorbell refuses this key.
 *
 * @param {{ carrier: Carrier, secret: Uint8Array, device: PublicKey, own: PublicKey,
 *   sign: (message: Bytes) => Promise<Uint8Array> }} options `secret`: of the link; `own`: the key of `sign`
 */
export async function openSession({ carrier, secret, device, own, sign }) {
  const handshake = new ClientHandshake(secret, randomBytes(32), randomBytes(64));
  const frames = new FrameQueue(carrier);
  try {
    carrier.send(handshake.hello);
    const { proof, session } = await handshake.finish(await frames.next(), device, own, sign);
    carrier.send(proof);
    // All that has come: a relay may pass on the doorbell's first record and its last one in one message.
    do {
      const heard = session.receive(await frames.next());
      if (heard && "ended" in heard) throw reasonOf(heard.ended);
      if (session.received === 0) throw new LostError();
    } while (frames.hasMore);
    return new OpenSession(carrier, session);
  } catch (error) {
    carrier.close();
    throw error;
  }
}

/** Frames of a handshake, one after the other. */
class FrameQueue {
  /** @type {((frame: Uint8Array | Error) => void) | undefined} */
  #waiting;
  /** @type {(Uint8Array | Error)[]} */
  #came = [];

  /** @param {Carrier} carrier */
  constructor(carrier) {
    /** @param {Uint8Array | Error} found */
    const take = (found) => {
      const waiting = this.#waiting;
      // Before the next frame of the same message, which `next` has had no turn to wait for.
      this.#waiting = undefined;
      if (waiting) waiting(found);
      else this.#came.push(found);
    };
    carrier.onframe = (found) => take(found.length ? found : new LostError());
    carrier.onclose = (error) => take(error ?? new LostError());
  }

  get hasMore() {
    return this.#came.length > 0;
  }

  /** @returns {Promise<Uint8Array>} */
  async next() {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** @type {Uint8Array | Error} */
    const found =
      this.#came.shift() ??
      (await new Promise((resolve) => {
        this.#waiting = resolve;
        timer = setTimeout(() => resolve(new LostError()), HANDSHAKE_MS);
      }));
    clearTimeout(timer);
    this.#waiting = undefined;
    if (found instanceof Error) throw found;
    return found;
  }
}

/** A session. `onend` is called once, with the error that its end is. */
class OpenSession {
  #carrier;
  #session;
  #streams = 0;
  /** @type {Map<number, { resolve: (answer: Bytes) => void, reject: (error: Error) => void, pieces: Uint8Array[],
   *   size: number }>} */
  #waiting = new Map();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  /** @type {(error: Error) => void} */
  onend = () => {};

  /**
   * @param {Carrier} carrier
   * @param {LinkSession} session
   */
  constructor(carrier, session) {
    this.#carrier = carrier;
    this.#session = session;
    carrier.onframe = (found) => this.#onFrame(found);
    carrier.onclose = (error) => this.#over(error ?? new LostError());
    this.#timer = setInterval(() => {
      session.ping();
      this.#flush();
    }, PING_MS);
  }

  /**
   * Returns the `result` of an operation and the bytes that came with it, as `fetchOp` does on the page.
   *
   * @template {keyof ControlOperations} Op
   * @param {Op} op
   * @param {Arguments<Op>} values
   * @returns {Promise<{ result: ControlOperations[Op]["answer"], body: Bytes }>}
   */
  async fetchOp(op, ...values) {
    const [head = {}, body] = values;
    const request = frame({ ...head, op }, body);
    if (request.length > BODY_BYTES[op]) throw new FormatError("error.format", { what: op });
    const answer = readFrame(await this.#exchange(request));
    if (answer.head.ok === true) return { result: answer.head.result ?? {}, body: answer.body };
    throw new RefusedError(String(answer.head.error ?? ""), String(answer.head.remedy ?? ""), 400, answer.head.kind);
  }

  close() {
    const last = this.#session.end(ENDED.closed);
    if (last) this.#carrier.send(last);
    this.#over(new LostError());
  }

  /**
   * @param {Uint8Array} request
   * @returns {Promise<Bytes>}
   */
  #exchange(request) {
    if (this.#session.ended !== undefined) return Promise.reject(new LostError());
    // Never used again in a session: an answer that comes late must not pass for that of another request.
    const stream = ++this.#streams;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(stream);
        // Otherwise the doorbell would go on to send an answer that no one waits for.
        this.#session.cancel(stream);
        this.#flush();
        reject(new LostError());
      }, patienceFor(request.length));
      /** @template T @param {(value: T) => void} then @returns {(value: T) => void} */
      const once = (then) => (value) => {
        clearTimeout(timer);
        then(value);
      };
      this.#waiting.set(stream, { resolve: once(resolve), reject: once(reject), pieces: [], size: 0 });
      this.#session.send(stream, request, true);
      this.#flush();
    });
  }

  #flush() {
    for (let next = this.#session.nextFrame(); next; next = this.#session.nextFrame()) this.#carrier.send(next);
  }

  /** @param {Uint8Array} found */
  #onFrame(found) {
    if (!found.length) {
      this.#over(new LostError());
      return;
    }
    const heard = this.#session.receive(found);
    if (heard && "ended" in heard) this.#over(reasonOf(heard.ended));
    else if (heard) this.#onPiece(heard.stream, heard.data, heard.last || heard.cancelled);
    this.#flush();
  }

  /**
   * @param {number} stream
   * @param {Uint8Array} data
   * @param {boolean} last
   */
  #onPiece(stream, data, last) {
    const waiting = this.#waiting.get(stream);
    if (!waiting) return;
    waiting.pieces.push(data);
    waiting.size += data.length;
    // A doorbell that was altered must not fill the memory of a phone.
    if (!last && waiting.size <= LARGEST_ANSWER) return;
    this.#waiting.delete(stream);
    if (last) waiting.resolve(/** @type {Bytes} */ (concat(...waiting.pieces)));
    else waiting.reject(new FormatError("error.format", { what: "answer" }));
  }

  /** @param {Error} error */
  #over(error) {
    // Once: `close` of the carrier calls back, and the first error says why.
    if (!this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#session.end(ENDED.closed);
    for (const each of this.#waiting.values()) each.reject(error);
    this.#waiting.clear();
    this.#carrier.close();
    this.onend(error);
  }
}

/** @param {number} reason */
function reasonOf(reason) {
  if (reason === ENDED.notListed) return new PageError("error.link-not-listed");
  if (reason === ENDED.busy) return new PageError("error.link-busy");
  return new LostError();
}

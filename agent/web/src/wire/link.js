// The link, the client's end (agent/wire/link/LINK.md): the handshake, and the records and streams of a session.
//
// `LinkSession` does no input or output: give it frames with `receive`, and send the frames that `nextFrame` returns.
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { expand, extract, hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { FormatError, OpenError } from "../errors.js";
import { concat, equal, hex, utf8 } from "./bytes.js";
import { pae } from "./envelope.js";
import { verifies } from "./keys.js";

/** @import { Bytes, PublicKey } from "../types.js" */

/**
 * A piece of a stream, or the reason why the session ended.
 *
 * @typedef {{ stream: number, data: Uint8Array, last: boolean, cancelled: boolean } | { ended: number }} Heard
 */

const NAME = "doorward link v1";
const SIZES = [256, 1024, 4096, 15360];
const HEAD_BYTES = 9;
const TAG_BYTES = 16;
const MOST_DATA = 15360 - HEAD_BYTES - TAG_BYTES - 7;
const WINDOW_BYTES = 256 * 1024;
const ACKNOWLEDGE_BYTES = 64 * 1024;
const GENERATION_RECORDS = 65536;
const ANSWER_BYTES = 1233;
const SEALED_AT = 1121;

/** Kinds of content. */
const DATA = 1;
const LAST = 2;
const CANCEL = 3;
const ACKNOWLEDGE = 4;
const END = 5;

/** Reasons for the end of a session. */
export const ENDED = Object.freeze({ closed: 1, idle: 2, busy: 3, notListed: 4, stopping: 5, cut: 6 });

/**
 * The doorbell's name at a relay.
 *
 * @param {Uint8Array} secret
 */
export const addressOf = (secret) => hex(hkdf(sha256, secret, undefined, utf8("doorward link address v1"), 16));

/**
 * @param {Uint8Array} secret
 * @param {string} label
 * @param {Uint8Array} [context]
 */
const derive = (secret, label, context = new Uint8Array()) =>
  expand(sha256, secret, concat(utf8(`${NAME} ${label}`), context), 32);

/**
 * @param {Uint8Array} key
 * @param {Uint8Array} data
 */
const mac = (key, data) => hmac(sha256, key, data);

/**
 * Opens what a handshake seals; every fault is one error.
 *
 * @param {Uint8Array} key
 * @param {Uint8Array} sealed
 */
function unseal(key, sealed) {
  try {
    return chacha20poly1305(key, new Uint8Array(12)).decrypt(sealed);
  } catch {
    throw new OpenError("error.link-not-authentic");
  }
}

export class ClientHandshake {
  #x25519;
  #mlkem;

  /**
   * @param {Uint8Array} secret of the link
   * @param {Uint8Array} x25519Secret 32 fresh bytes
   * @param {Uint8Array} mlkemSeed 64 fresh bytes
   */
  constructor(secret, x25519Secret, mlkemSeed) {
    this.#x25519 = x25519Secret;
    this.#mlkem = ml_kem768.keygen(mlkemSeed);
    const start = concat(Uint8Array.of(1, 1), x25519.getPublicKey(x25519Secret), this.#mlkem.publicKey);
    const knock = mac(hkdf(sha256, secret, undefined, utf8("doorward link knock v1"), 32), start);
    /** The first message, for the doorbell. */
    this.hello = concat(start, knock);
  }

  /**
   * Takes the doorbell's answer. Throws FormatError, OpenError.
   *
   * @param {Uint8Array} answer
   * @param {PublicKey} device
   * @param {PublicKey} own
   * @param {(message: Bytes) => Promise<Uint8Array>} sign with the key `own`
   * @returns {Promise<{ proof: Uint8Array, session: LinkSession }>}
   */
  async finish(answer, device, own, sign) {
    if (answer.length !== ANSWER_BYTES || answer[0] !== 2) throw new FormatError("error.format", { what: "link" });
    const [start, sealed] = [answer.subarray(0, SEALED_AT), answer.subarray(SEALED_AT)];
    const t1 = sha256(concat(utf8(NAME), this.hello, start));
    const root = extract(sha256, this.#agree(start.subarray(1, 33), start.subarray(33)), t1);
    const plain = unseal(derive(root, "device seal"), sealed);
    const expected = mac(derive(root, "device mac"), concat(device.raw, t1));
    const signed = pae("application/vnd.doorward.link-device", t1);
    const signature = plain.slice(0, 64);
    // SIGMA: the MAC ties the identity to this exchange, and the signature to the doorbell's key.
    if (!equal(plain.subarray(64), expected) || !(await verifies(device, signature, signed)))
      throw new OpenError("error.link-not-authentic");
    const t2 = sha256(concat(t1, sealed));
    const ours = await sign(pae("application/vnd.doorward.link-client", t2));
    const identity = concat(own.raw, ours, mac(derive(root, "client mac"), concat(own.raw, t2)));
    const proof = chacha20poly1305(derive(root, "client seal"), new Uint8Array(12)).encrypt(identity);
    const t3 = sha256(concat(t2, proof));
    const session = new LinkSession(derive(root, "to device ", t3), derive(root, "to client ", t3));
    return { proof: concat(Uint8Array.of(3), proof), session };
  }

  /**
   * @param {Uint8Array} theirs
   * @param {Uint8Array} ciphertext
   */
  #agree(theirs, ciphertext) {
    try {
      return concat(
        ml_kem768.decapsulate(ciphertext, this.#mlkem.secretKey),
        x25519.getSharedSecret(this.#x25519, theirs),
      );
    } catch {
      throw new OpenError("error.link-not-authentic"); // a point of small order
    }
  }
}

/** Keys of the records in one direction. */
class Direction {
  #secret;
  #generation = 0;
  #key;
  /** Number of the next record. */
  counter = 0;

  /** @param {Uint8Array} secret */
  constructor(secret) {
    this.#secret = secret;
    this.#key = derive(secret, "key");
  }

  /** @param {Uint8Array} plain */
  seal(plain) {
    this.#renew();
    const head = headOf(this.counter);
    const sealed = chacha20poly1305(this.#key, nonceOf(head), head).encrypt(plain);
    this.counter += 1;
    return concat(head, sealed);
  }

  /**
   * The content of an authentic record, the next one or a later one, or undefined.
   *
   * @param {Uint8Array} frame
   * @param {number} counter
   */
  open(frame, counter) {
    this.#renew();
    const ahead = Math.floor(counter / GENERATION_RECORDS) - this.#generation;
    // A counter far ahead would cost a derivation for each generation, and a stranger could make this browser compute.
    if (ahead > 1) return undefined;
    const key = ahead === 0 ? this.#key : derive(derive(this.#secret, "next"), "key");
    const head = frame.subarray(0, HEAD_BYTES);
    try {
      return chacha20poly1305(key, nonceOf(head), head).decrypt(frame.subarray(HEAD_BYTES));
    } catch {
      return undefined;
    }
  }

  #renew() {
    if (Math.floor(this.counter / GENERATION_RECORDS) === this.#generation) return;
    this.#generation += 1;
    this.#secret = derive(this.#secret, "next");
    this.#key = derive(this.#secret, "key");
  }
}

export class LinkSession {
  /**
   * The reason after its end (`ENDED`); then it neither sends nor receives.
   *
   * @type {number | undefined}
   */
  ended;
  #outgoing;
  #incoming;
  /** @type {Uint8Array[]} */
  #urgent = [];
  /** @type {Map<number, { data: Uint8Array, last: boolean }[]>} */
  #streams = new Map();
  /** @type {[number, number][]} */
  #sent = [];
  #onTheWay = 0;
  #unacknowledged = 0;
  #mustAcknowledge = false;

  /**
   * @param {Uint8Array} outgoing
   * @param {Uint8Array} incoming
   */
  constructor(outgoing, incoming) {
    this.#outgoing = new Direction(outgoing);
    this.#incoming = new Direction(incoming);
  }

  /** Records that were taken from the other end. */
  get received() {
    return this.#incoming.counter;
  }

  /**
   * @param {number} stream
   * @param {Uint8Array} data
   * @param {boolean} last
   */
  send(stream, data, last) {
    const waiting = this.#streams.get(stream) ?? [];
    waiting.push({ data, last });
    this.#streams.set(stream, waiting);
  }

  /** @param {number} stream */
  cancel(stream) {
    this.#streams.delete(stream);
    this.#urgent.push(itemOf(CANCEL, stream, new Uint8Array()));
  }

  /** Queues a record without content: the session is in use. */
  ping() {
    this.#urgent.push(new Uint8Array());
  }

  /**
   * Ends the session: the last frame for the doorbell.
   *
   * @param {number} reason
   */
  end(reason) {
    if (this.ended !== undefined) return undefined;
    const frame = this.#record(Uint8Array.of(END, reason));
    this.#end(reason);
    return frame;
  }

  /** The next frame to send, or undefined. */
  nextFrame() {
    if (this.ended !== undefined) return undefined;
    if (this.#mustAcknowledge) {
      this.#mustAcknowledge = false;
      return this.#record(concat(Uint8Array.of(ACKNOWLEDGE), headOf(this.#incoming.counter).subarray(1)));
    }
    const urgent = this.#urgent.shift();
    if (urgent) return this.#record(urgent);
    if (!this.#streams.size || this.#onTheWay + 15360 > WINDOW_BYTES) return undefined;
    const frame = this.#record(this.#nextData());
    this.#sent.push([this.#outgoing.counter, frame.length]);
    this.#onTheWay += frame.length;
    return frame;
  }

  /**
   * Takes a frame. A frame that is not authentic, or came before, is ignored.
   *
   * @param {Uint8Array} frame
   * @returns {Heard | undefined}
   */
  receive(frame) {
    if (this.ended !== undefined || !SIZES.includes(frame.length) || frame[0] !== 0x10) return undefined;
    const counter = numberIn(frame, 1);
    if (!Number.isSafeInteger(counter) || counter < this.#incoming.counter) return undefined;
    const plain = this.#incoming.open(frame, counter);
    if (!plain) return undefined;
    const content = unpadded(plain);
    // An authentic record is missing before this one: a relay has dropped it, and the rest would make no sense.
    if (counter > this.#incoming.counter || !content) return this.#end(ENDED.cut);
    this.#incoming.counter += 1;
    this.#unacknowledged += frame.length;
    if (this.#unacknowledged >= ACKNOWLEDGE_BYTES) {
      this.#unacknowledged = 0;
      this.#mustAcknowledge = true;
    }
    return this.#onContent(content);
  }

  /**
   * @param {Uint8Array} content
   * @returns {Heard | undefined}
   */
  #onContent(content) {
    const kind = content[0];
    if (content.length === 0) return undefined;
    if ([DATA, LAST, CANCEL].includes(kind) && content.length >= 5) {
      const stream = new DataView(content.buffer, content.byteOffset).getUint32(1);
      const cancelled = kind === CANCEL;
      if (cancelled) this.#streams.delete(stream);
      return { stream, data: cancelled ? new Uint8Array() : content.subarray(5), last: kind === LAST, cancelled };
    }
    if (kind === ACKNOWLEDGE && content.length === 9) {
      const upTo = numberIn(content, 1);
      while (this.#sent.length && this.#sent[0][0] <= upTo) this.#onTheWay -= this.#sent.shift()?.[1] ?? 0;
      return undefined;
    }
    const isEnd = kind === END && content.length === 2 && Object.values(ENDED).some((reason) => reason === content[1]);
    return this.#end(isEnd ? content[1] : ENDED.cut);
  }

  /** A record of the stream whose turn it is. */
  #nextData() {
    const [stream, waiting] = /** @type {[number, { data: Uint8Array, last: boolean }[]]} */ (
      this.#streams.entries().next().value
    );
    this.#streams.delete(stream);
    const { data, last } = /** @type {{ data: Uint8Array, last: boolean }} */ (waiting.shift());
    // Put behind the others again below, so that a film does not hold up a short answer.
    const [piece, rest] = [data.subarray(0, MOST_DATA), data.subarray(MOST_DATA)];
    if (rest.length) waiting.unshift({ data: rest, last });
    if (waiting.length) this.#streams.set(stream, waiting);
    return itemOf(last && !rest.length ? LAST : DATA, stream, piece);
  }

  /** @param {Uint8Array} content */
  #record(content) {
    const needed = 2 + content.length;
    const size = /** @type {number} */ (SIZES.find((each) => each - HEAD_BYTES - TAG_BYTES >= needed));
    const plain = new Uint8Array(size - HEAD_BYTES - TAG_BYTES);
    new DataView(plain.buffer).setUint16(0, content.length);
    plain.set(content, 2);
    return this.#outgoing.seal(plain);
  }

  /** @param {number} reason */
  #end(reason) {
    this.ended = reason;
    this.#urgent = [];
    this.#streams.clear();
    return { ended: reason };
  }
}

/**
 * The content, or undefined if the padding is not zero.
 *
 * @param {Uint8Array} plain
 */
function unpadded(plain) {
  const size = new DataView(plain.buffer, plain.byteOffset).getUint16(0);
  if (2 + size > plain.length || plain.subarray(2 + size).some((byte) => byte !== 0)) return undefined;
  return plain.subarray(2, 2 + size);
}

/**
 * @param {number} kind
 * @param {number} stream
 * @param {Uint8Array} data
 */
function itemOf(kind, stream, data) {
  const item = new Uint8Array(5 + data.length);
  item[0] = kind;
  new DataView(item.buffer).setUint32(1, stream);
  item.set(data, 5);
  return item;
}

/** @param {number} counter */
function headOf(counter) {
  const head = new Uint8Array(HEAD_BYTES);
  head[0] = 0x10;
  new DataView(head.buffer).setBigUint64(1, BigInt(counter));
  return head;
}

/** @param {Uint8Array} head */
const nonceOf = (head) => concat(new Uint8Array(4), head.subarray(1));

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
const numberIn = (bytes, at) => Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at));

// Carries frames of the link over a relay: MQTT 5 over WebSocket (agent/wire/link/LINK.md, "Frames and carriers").
//
// One connection is one session. It sends and hears with QoS 1, keeps within what the relay takes at a time, and ends
// at the first packet that is wrong.
import { LostError, PageError } from "./errors.js";
import { concat, hex, randomBytes, utf8 } from "./wire/bytes.js";

/** @import { Carrier } from "./link_session.js" */

/**
 * The account of a household at a relay.
 *
 * @typedef {{ url: string, account: string, password: string }} RelayAccount
 */

const CONNECT_MS = 10_000;
const PING_MS = 30_000;
const KEEPALIVE_S = 60;
const EXPIRY_S = 30;
const LARGEST_PACKET = 16_384;
const MOST_WAITING = 512;
const NO_SUBSCRIBER = 0x10;

/** Types of packets, with their flags. */
const CONNECT = 0x10;
const CONNACK = 0x20;
const PUBLISH = 0x30;
const PUBLISH_ONCE = 0x32;
const PUBACK = 0x40;
const SUBSCRIBE = 0x82;
const SUBACK = 0x90;
const PINGREQ = 0xc0;
const PINGRESP = 0xd0;
const DISCONNECT = 0xe0;

/**
 * Connects to the relay and listens for a new session with the doorbell of this address. Throws LostError if the relay
 * cannot be reached, and PageError if it refuses the account.
 *
 * @param {RelayAccount} relay
 * @param {string} address
 * @param {(url: string, protocol: string) => WebSocket} [connect]
 * @returns {Promise<Carrier>}
 */
export async function openCarrier(relay, address, connect = (url, protocol) => new WebSocket(url, protocol)) {
  // A fresh id for each session: a second tab of this browser must not hear the first one's frames.
  const topic = `doorward/v1/link/${relay.account}/${address}/${hex(randomBytes(16))}`;
  const carrier = new MqttCarrier(connect(relay.url, "mqtt"), relay, topic);
  try {
    await carrier.ready;
  } catch (error) {
    carrier.close();
    throw error;
  }
  return carrier;
}

class MqttCarrier {
  #socket;
  #topic;
  #rest = new Uint8Array();
  /** @type {Uint8Array[]} */
  #waiting = [];
  #onTheWay = 0;
  #mostOnTheWay = 65_535;
  #number = 1;
  #isUp = false;
  #isOver = false;
  #pings;
  /** @type {(frame: Uint8Array) => void} */
  onframe = () => {};
  /** @type {(error?: Error) => void} */
  onclose = () => {};
  /** @type {() => void} */
  #isReady = () => {};
  /** @type {(error: Error) => void} */
  #isRefused = () => {};
  /** @type {Promise<void>} */
  ready;

  /**
   * @param {WebSocket} socket
   * @param {RelayAccount} relay
   * @param {string} topic without its last level
   */
  constructor(socket, relay, topic) {
    this.#socket = socket;
    this.#topic = topic;
    this.ready = new Promise((resolve, reject) => {
      this.#isReady = resolve;
      this.#isRefused = reject;
    });
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#write(connectPacket(relay));
    socket.onmessage = ({ data }) => this.#onBytes(data);
    // A browser does not say why: no network, no relay, or a certificate that it does not trust.
    const lose = () => this.#end(new LostError(this.#isUp ? "error.lost" : "error.relay-away"));
    socket.onclose = lose;
    socket.onerror = lose;
    const late = setTimeout(lose, CONNECT_MS);
    this.ready.then(
      () => clearTimeout(late),
      () => clearTimeout(late),
    );
    this.#pings = setInterval(() => this.#isUp && this.#write(packet(PINGREQ)), PING_MS);
  }

  /** @param {Uint8Array} frame */
  send(frame) {
    if (this.#isOver) return;
    if (this.#waiting.length >= MOST_WAITING) {
      this.#end(new LostError()); // the relay has stopped taking frames
      return;
    }
    this.#waiting.push(frame);
    this.#flush();
  }

  close() {
    this.#end(new LostError());
  }

  #flush() {
    while (this.#isUp && this.#waiting.length && this.#onTheWay < this.#mostOnTheWay) {
      const frame = /** @type {Uint8Array} */ (this.#waiting.shift());
      this.#onTheWay += 1;
      const expiry = concat(Uint8Array.of(5, 2), uint32(EXPIRY_S));
      this.#write(packet(PUBLISH_ONCE, text(`${this.#topic}/in`), uint16(this.#next()), expiry, frame));
    }
  }

  #next() {
    // Packet identifiers are not zero (MQTT 5.0, 2.2.1).
    this.#number = this.#number === 65_535 ? 1 : this.#number + 1;
    return this.#number;
  }

  /** @param {Uint8Array} bytes */
  #write(bytes) {
    if (this.#socket.readyState === 1) this.#socket.send(/** @type {Uint8Array<ArrayBuffer>} */ (bytes));
  }

  /** @param {unknown} data */
  #onBytes(data) {
    if (this.#isOver) return;
    try {
      if (!(data instanceof ArrayBuffer)) throw new Error("text");
      this.#rest = concat(this.#rest, new Uint8Array(data));
      for (let found = firstPacket(this.#rest); found; found = firstPacket(this.#rest)) {
        this.#rest = this.#rest.slice(found.end);
        this.#onPacket(found.type, found.body);
      }
    } catch (error) {
      this.#end(error instanceof PageError ? error : new LostError());
    }
  }

  /**
   * @param {number} type
   * @param {Uint8Array} body
   */
  #onPacket(type, body) {
    const kind = type & 0xf0;
    if (kind === CONNACK) this.#onConnected(body);
    else if (kind === SUBACK) this.#onSubscribed(body);
    else if (kind === PUBLISH) this.#onPublish(type, body);
    else if (kind === PUBACK) this.#onTaken(body);
    else if (kind !== PINGRESP) throw new LostError(); // such as DISCONNECT
  }

  /** @param {Uint8Array} body */
  #onConnected(body) {
    const code = byteAt(body, 1);
    if (code === 0x86 || code === 0x87) throw new PageError("error.relay-account");
    if (code !== 0) throw new LostError();
    this.#mostOnTheWay = receiveMaximum(body.subarray(2)) ?? this.#mostOnTheWay;
    // QoS 1, and not what this client sends itself.
    this.#write(packet(SUBSCRIBE, uint16(1), Uint8Array.of(0), text(`${this.#topic}/out`), Uint8Array.of(0x05)));
  }

  /** @param {Uint8Array} body */
  #onSubscribed(body) {
    if (byteAt(body, body.length - 1) >= 0x80) throw new PageError("error.relay-account");
    this.#isUp = true;
    this.#isReady();
    this.#flush();
  }

  /**
   * @param {number} type
   * @param {Uint8Array} body
   */
  #onPublish(type, body) {
    const qos = (type >> 1) & 3;
    let at = 2 + uint16At(body, 0);
    if (qos > 0) {
      this.#write(packet(PUBACK, body.subarray(at, at + 2)));
      at += 2;
    }
    const properties = variable(body, at);
    if (!properties || properties.end + properties.value > body.length) throw new LostError();
    this.onframe(body.slice(properties.end + properties.value));
  }

  /** @param {Uint8Array} body */
  #onTaken(body) {
    const code = body.length > 2 ? body[2] : 0;
    if (code === NO_SUBSCRIBER) throw new LostError("error.relay-alone");
    if (code >= 0x80) throw new LostError();
    this.#onTheWay -= 1;
    this.#flush();
  }

  /** @param {Error} error */
  #end(error) {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#pings);
    this.#waiting = [];
    this.#isRefused(error);
    this.#write(packet(DISCONNECT));
    this.#socket.close();
    this.onclose(error);
  }
}

/** @param {RelayAccount} relay */
function connectPacket({ account, password }) {
  const properties = concat(Uint8Array.of(0x27), uint32(LARGEST_PACKET));
  return packet(
    CONNECT,
    text("MQTT"),
    Uint8Array.of(5, 0xc2), // version; user name, password, clean start
    uint16(KEEPALIVE_S),
    Uint8Array.of(properties.length),
    properties,
    text(""), // the relay chooses the client id
    text(account),
    text(password),
  );
}

/**
 * @param {number} type
 * @param {Uint8Array[]} parts
 */
function packet(type, ...parts) {
  const body = concat(...parts);
  const size = [];
  let rest = body.length;
  do {
    size.push((rest % 128) + (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return concat(Uint8Array.of(type, ...size), body);
}

/**
 * The first packet if all of it is here. Throws an error for a packet that is too large.
 *
 * @param {Uint8Array} bytes
 */
function firstPacket(bytes) {
  const size = variable(bytes, 1);
  if (!size) return undefined;
  // The relay was told so in CONNECT (Maximum Packet Size). One that sends more would fill the memory.
  if (size.value > LARGEST_PACKET) throw new LostError();
  const end = size.end + size.value;
  return bytes.length < end ? undefined : { type: bytes[0], body: bytes.slice(size.end, end), end };
}

/**
 * A variable byte integer, or undefined if its end has not come.
 *
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function variable(bytes, at) {
  let value = 0;
  for (let place = 0; place < 4; place++) {
    if (at + place >= bytes.length) return undefined;
    const byte = bytes[at + place];
    value += (byte & 127) * 128 ** place;
    if (byte < 128) return { value, end: at + place + 1 };
  }
  throw new LostError();
}

/** Lengths of the values of CONNACK's properties; -1 for text, -2 for two texts. */
const PROPERTY_BYTES = new Map([
  [0x11, 4],
  [0x21, 2],
  [0x24, 1],
  [0x25, 1],
  [0x27, 4],
  [0x12, -1],
  [0x22, 2],
  [0x1f, -1],
  [0x26, -2],
  [0x28, 1],
  [0x29, 1],
  [0x2a, 1],
  [0x13, 2],
  [0x1a, -1],
  [0x1c, -1],
  [0x15, -1],
  [0x16, -1],
]);

/**
 * The number of messages that the relay takes before it has acknowledged one.
 *
 * @param {Uint8Array} bytes from the length of the properties on
 */
function receiveMaximum(bytes) {
  const all = variable(bytes, 0);
  if (!all) return undefined;
  for (let at = all.end; at < all.end + all.value; ) {
    const name = bytes[at++];
    const size = PROPERTY_BYTES.get(name);
    if (size === undefined) return undefined;
    if (name === 0x21) return uint16At(bytes, at);
    if (size > 0) at += size;
    for (let texts = size; texts < 0; texts++) at += 2 + uint16At(bytes, at);
  }
  return undefined;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function byteAt(bytes, at) {
  if (at < 0 || at >= bytes.length) throw new LostError();
  return bytes[at];
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
const uint16At = (bytes, at) => byteAt(bytes, at) * 256 + byteAt(bytes, at + 1);
/** @param {number} value */
const uint16 = (value) => Uint8Array.of(value >> 8, value & 255);
/** @param {number} value */
const uint32 = (value) => Uint8Array.of(0, 0, value >> 8, value & 255);
/** @param {string} value */
const text = (value) => concat(uint16(utf8(value).length), utf8(value));

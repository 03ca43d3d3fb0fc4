// SFrame (RFC 9605) with AES_256_GCM_SHA512_128: opens one frame of live view (agent/core/sframe.py).
import { FormatError, OpenError } from "../errors.js";
import { utf8 } from "./bytes.js";

/** @import { Bytes } from "../types.js" */

const SUITE = 0x0005;
const NONCE_BYTES = 12;
/** Smaller numbers are in the first byte of the header. */
const INLINE = 8;
const bad = () => new FormatError("error.format", { what: "SFrame" });

/**
 * The key's number, the frame's number, and where the ciphertext begins. A number has one spelling only.
 *
 * @param {Bytes} frame
 */
export function readFrameHeader(frame) {
  if (!frame.length) throw bad();
  let at = 1;
  /** @param {number} bits */
  const number = (bits) => {
    if (bits < INLINE) return BigInt(bits);
    const bytes = frame.subarray(at, at + bits - INLINE + 1);
    at += bytes.length;
    let value = 0n;
    for (const byte of bytes) value = (value << 8n) | BigInt(byte);
    if (bytes.length !== bits - INLINE + 1 || bytes[0] === 0 || value < INLINE) throw bad();
    return value;
  };
  const kid = number(frame[0] >> 4);
  return { kid, ctr: number(frame[0] & 15), at };
}

/**
 * Returns a function that opens frames under this key: `(frame, metadata?) => plaintext`.
 *
 * @param {Bytes} base
 * @param {bigint} kid
 */
export async function frameOpener(base, kid) {
  const secret = await crypto.subtle.importKey("raw", base, "HKDF", false, ["deriveBits", "deriveKey"]);
  const aes = await crypto.subtle.deriveKey(derivation("key", kid), secret, { name: "AES-GCM", length: 256 }, false, [
    "decrypt",
  ]);
  const salt = new Uint8Array(await crypto.subtle.deriveBits(derivation("salt", kid), secret, NONCE_BYTES * 8));
  /**
   * @param {Bytes} frame
   * @param {Uint8Array} [metadata]
   */
  return async (frame, metadata = new Uint8Array()) => {
    const { kid: theirs, ctr, at } = readFrameHeader(frame);
    if (theirs !== kid) throw new OpenError("error.does-not-open");
    const iv = salt.slice();
    for (let i = 0; i < 8; i++) iv[NONCE_BYTES - 1 - i] ^= Number((ctr >> BigInt(8 * i)) & 255n);
    const additionalData = new Uint8Array([...frame.subarray(0, at), ...metadata]);
    try {
      return new Uint8Array(
        await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData }, aes, frame.subarray(at)),
      );
    } catch {
      throw new OpenError("error.does-not-open");
    }
  };
}

/**
 * @param {string} what
 * @param {bigint} kid
 */
function derivation(what, kid) {
  const text = utf8(`SFrame 1.0 Secret ${what} `);
  const info = new Uint8Array(text.length + 10);
  info.set(text);
  const view = new DataView(info.buffer);
  view.setBigUint64(text.length, kid);
  view.setUint16(text.length + 8, SUITE);
  return { name: "HKDF", hash: "SHA-512", salt: new Uint8Array(), info };
}

// Ed25519 keys (agent/wire/identities.py): WebCrypto if the browser supports it, otherwise @noble/curves.
import { ed25519 } from "@noble/curves/ed25519.js";
import { FormatError } from "../errors.js";
import { base64url, concat, hex, sha256, unbase64url, unhex } from "./bytes.js";

/** @import { Bytes, PublicKey } from "../types.js" */

const PKCS8_HEAD = unhex("302e020100300506032b657004220420");
const P = 2n ** 255n - 19n;
/**
 * @param {bigint} base
 * @param {bigint} exponent
 */
const power = (base, exponent) => {
  let result = 1n;
  let square = base % P;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
};
const D = (P - ((121665n * power(121666n, P - 2n)) % P)) % P;
const ORDER_8_Y = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
const SMALL_ORDER_Y = new Set([0n, 1n, P - 1n, ORDER_8_Y, P - ORDER_8_Y]);

/**
 * True if canonical, on the curve and of large order. A key of small order verifies forged signatures.
 *
 * @param {Uint8Array} raw
 */
function isSound(raw) {
  let y = 0n;
  for (let i = 31; i >= 0; i--) y = (y << 8n) | BigInt(i === 31 ? raw[i] & 127 : raw[i]);
  if (y >= P || SMALL_ORDER_Y.has(y)) return false;
  const xx = (((y * y - 1n + P) % P) * power((D * y * y + 1n) % P, P - 2n)) % P;
  return power(xx, (P - 1n) / 2n) === 1n;
}

const sound = new Set();
const MOST_REMEMBERED = 1 << 14;

/**
 * Throws FormatError unless `text` is a public key, as a message may hold it.
 *
 * @param {string} text
 */
export function requireKey(text) {
  if (sound.has(text)) return;
  const raw = unbase64url(text.slice("ed25519:".length));
  if (
    !text.startsWith("ed25519:") ||
    raw.length !== 32 ||
    base64url(raw) !== text.slice("ed25519:".length) ||
    !isSound(raw)
  ) {
    throw new FormatError("error.format", { what: "key" });
  }
  if (sound.size >= MOST_REMEMBERED) sound.clear();
  sound.add(text);
}

const parsed = new Map();

/**
 * The public key written `ed25519:…`: `{raw, id, text}`.  Throws FormatError.
 *
 * @param {string} text
 * @returns {Promise<PublicKey>}
 */
export async function parseKey(text) {
  const known = parsed.get(text);
  if (known) return known;
  if (!text.startsWith("ed25519:")) throw new FormatError("error.format", { what: "key" });
  const key = await keyOf(unbase64url(text.slice(8)));
  if (parsed.size > 256) parsed.clear();
  parsed.set(text, key);
  return key;
}

/**
 * @param {Uint8Array} raw
 * @returns {Promise<PublicKey>}
 */
export async function keyOf(raw) {
  if (raw.length !== 32 || !isSound(raw)) throw new FormatError("error.format", { what: "key" });
  return { raw, id: hex(await sha256(raw)).slice(0, 16), text: `ed25519:${base64url(raw)}` };
}

let native;

/** True if WebCrypto supports Ed25519 here. */
export async function hasNative() {
  native ??= crypto.subtle.importKey("pkcs8", concat(PKCS8_HEAD, new Uint8Array(32)), "Ed25519", false, ["sign"]).then(
    () => true,
    () => false,
  );
  return native;
}

/** @param {Uint8Array} seed */
export async function publicKeyOfSeed(seed) {
  return keyOf(ed25519.getPublicKey(seed));
}

/**
 * @param {Uint8Array} seed
 * @param {Uint8Array} message
 */
export async function sign(seed, message) {
  if (!(await hasNative())) return ed25519.sign(message, seed);
  const key = await crypto.subtle.importKey("pkcs8", concat(PKCS8_HEAD, seed), "Ed25519", false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("Ed25519", key, /** @type {Bytes} */ (message)));
}

/**
 * @param {PublicKey} key
 * @param {Bytes} signature
 * @param {Bytes} message
 */
export async function verifies(key, signature, message) {
  if (signature.length !== 64) return false;
  if (!(await hasNative())) return ed25519.verify(signature, message, key.raw, { zip215: false });
  key.imported ??= crypto.subtle.importKey("raw", /** @type {Bytes} */ (key.raw), "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", await key.imported, signature, message);
}

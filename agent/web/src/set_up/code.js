// The QR code that the set-up page shows to the camera: the same form as agent/core/setup_code.py, and what follows
// from its secret. Pure, and without WebCrypto, which browsers refuse to a page that came over plain HTTP.
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { PageError } from "../errors.js";

/** @typedef {Record<"ssid" | "password" | "name" | "country" | "zone", string> & { secret: Uint8Array }} SetupCode */

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_BYTES = 16;
const MOST_SSID_BYTES = 32;
const MOST_ZONE_CHARACTERS = 32;
const PAIRING = "doorward set-up pairing v1";
const PROOF = "doorward set-up authority v1";
const CODE_DIGITS = 20;
const utf8 = (/** @type {string} */ text) => new TextEncoder().encode(text);

/** A fresh secret: each code has its own, and the doorbell takes each one once. */
export const freshSecret = () => crypto.getRandomValues(new Uint8Array(SECRET_BYTES));

/**
 * The text of the QR code. Throws a `PageError` that names what must be corrected.
 *
 * @param {SetupCode} code
 */
export function textOf({ secret, ssid, password, name, country, zone }) {
  const network = utf8(ssid);
  if (network.length > MOST_SSID_BYTES || /\p{C}/u.test(ssid)) throw new PageError("show.bad.ssid");
  if (password && !(ssid && /^[\x20-\x7e]{8,63}$/.test(password))) throw new PageError("show.bad.password");
  if (!/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(name)) throw new PageError("show.bad.name");
  // The phone's own, so one of another form is left out instead of refused.
  const isZone = /^[A-Za-z0-9_+-]+(\/[A-Za-z0-9_+-]+){0,2}$/.test(zone) && zone.length <= MOST_ZONE_CHARACTERS;
  const fields = [network, utf8(password), utf8(name), utf8(isZone ? zone : "")].flatMap((each) => [
    each.length,
    ...each,
  ]);
  const place = /^[A-Z]{2}$/.test(country) ? [...utf8(country)] : [0, 0];
  const body = Uint8Array.from([...secret, ...place, ...fields]);
  return `DW1:${base32([...body, ...sha256(body).subarray(0, 4)])}`;
}

/** @param {Uint8Array} secret */
export const pairingCode = (secret) =>
  hex(hmac(sha256, secret, utf8(PAIRING)))
    .slice(0, CODE_DIGITS)
    .toUpperCase();

/**
 * Whether the doorbell that read the code vouches for this authority. Any other device cannot: it lacks the secret.
 *
 * @param {Uint8Array} secret
 * @param {Uint8Array} authority
 * @param {string} proof
 */
export const isProven = (secret, authority, proof) =>
  hex(hmac(sha256, secret, Uint8Array.from([...utf8(PROOF), ...authority]))) === proof;

/** @param {Uint8Array} bytes */
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {string} text */
export const fromHex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

/** @param {number[]} bytes */
function base32(bytes) {
  let bits = 0;
  let value = 0;
  let text = "";
  for (const byte of bytes) {
    value = (value << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(value >> (bits - 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return bits ? text + ALPHABET[(value << (5 - bits)) & 31] : text;
}

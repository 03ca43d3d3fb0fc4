// Bytes and their spellings: canonical base64 (agent/wire/strictjson.py), hex, SHA-256.
import { FormatError } from "../errors.js";

/** @import { Bytes } from "../types.js" */

const encoder = new TextEncoder();

/** @param {string} text */
export const utf8 = (text) => encoder.encode(text);

/**
 * Text of strict UTF-8; throws FormatError.
 *
 * @param {Uint8Array} bytes
 */
export function fromUtf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FormatError("error.format", { what: "UTF-8" });
  }
}

/** @param {Uint8Array[]} parts */
export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 */
export const equal = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** @param {Uint8Array} bytes */
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * @param {string} text
 * @returns {Bytes}
 */
export function unhex(text) {
  if (!/^([0-9a-f]{2})*$/.test(text)) throw new FormatError("error.format", { what: "hex" });
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** @param {Uint8Array} bytes */
export function base64(bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(binary);
}

/**
 * The bytes with exactly this `base64` text: a second spelling would be a second message.
 *
 * @param {string} text
 */
export function unbase64(text) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw new FormatError("error.format", { what: "base64" });
  }
  if (base64(bytes) !== text) throw new FormatError("error.format", { what: "base64" });
  return bytes;
}

/** @param {Uint8Array} bytes */
export const base64url = (bytes) => base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

/** @param {string} text */
export function unbase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new FormatError("error.format", { what: "base64" });
  const padded = text.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat((4 - (text.length % 4)) % 4);
  return unbase64(padded);
}

/** @param {Uint8Array} bytes */
export const sha256 = async (bytes) =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", /** @type {Bytes} */ (bytes)));
/** @param {Uint8Array} bytes */
export const sha256hex = async (bytes) => hex(await sha256(bytes));

/** @param {number} size */
export const randomBytes = (size) => crypto.getRandomValues(new Uint8Array(size));

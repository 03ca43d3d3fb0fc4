// age files: opened and sealed by npm age-encryption; here is what it leaves open, rewrapping a header and reading on
// until a torn end (agent/core/vault/age).
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bech32 } from "@scure/base";
import { Decrypter, Encrypter, generateHybridIdentity, identityToRecipient } from "age-encryption";
import { FormatError, OpenError } from "../errors.js";
import { base64, concat, fromUtf8, hex, randomBytes, unbase64, utf8 } from "./bytes.js";

/** @import { Bytes } from "../types.js" */

export { generateHybridIdentity, identityToRecipient };

const PLAIN_CHUNK = 64 * 1024;
const CHUNK = PLAIN_CHUNK + 16;
const MAC_LINE = utf8("\n--- ");
const LONGEST_HEADER = 128 * 1024;

/**
 * Offset of the payload, after the header.
 *
 * @param {Uint8Array} data
 */
export function split(data) {
  for (let at = 0; at < Math.min(data.length, LONGEST_HEADER) - MAC_LINE.length; at++) {
    if (data[at] === 10 && MAC_LINE.every((byte, i) => data[at + i] === byte)) {
      const end = data.indexOf(10, at + 1);
      // "--- " and 43 characters of the MAC (c2sp.org/age, "Header MAC"): the body of a stanza cannot look so.
      if (end > 0 && end - at === 48) return end + 1;
    }
  }
  throw new FormatError("error.format", { what: "age" });
}

/** @param {string} identity */
function decrypter(identity) {
  const found = new Decrypter();
  found.addIdentity(identity);
  return found;
}

/**
 * @param {Uint8Array} made by a library, which says less of its buffer than is true
 */
const bytesOf = (made) => /** @type {Bytes} */ (made);

/**
 * Every failure becomes one error: which check failed would help only an attacker.
 *
 * @template T
 * @param {() => Promise<T>} what
 * @returns {Promise<T>}
 */
async function guarded(what) {
  try {
    return await what();
  } catch {
    throw new OpenError("error.does-not-open");
  }
}

/**
 * @param {Uint8Array} data
 * @param {string} identity
 */
export const open = (data, identity) => guarded(async () => bytesOf(await decrypter(identity).decrypt(data)));

/**
 * @param {Uint8Array} header
 * @param {string} identity
 */
export const fileKey = (header, identity) => guarded(() => decrypter(identity).decryptHeader(header));

/**
 * Commits to a file key and keeps it secret (agent/core/vault/commitment.py).
 *
 * @param {Uint8Array} key
 */
export const keyCommitment = (key) => hex(hkdf(sha256, key, undefined, utf8("doorward-file-key"), 32));

/**
 * @param {Uint8Array | string} plain
 * @param {string[]} recipients
 */
export function sealTo(plain, ...recipients) {
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  return encrypter.encrypt(plain);
}

/**
 * The hybrid identity of a seed of 32 bytes (c2sp.org/age, "The hybrid ML-KEM-768 + X25519 recipient type").
 *
 * @param {Uint8Array} seed
 */
export const hybridIdentity = (seed) => bech32.encodeFromBytes("AGE-SECRET-KEY-PQ-", seed).toUpperCase();

/**
 * @param {Uint8Array | string} plain
 * @param {string} passphrase
 * @param {number} workFactor
 */
export function sealWithPassphrase(plain, passphrase, workFactor) {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  encrypter.setScryptWorkFactor(workFactor);
  return encrypter.encrypt(plain);
}

/**
 * @param {Uint8Array} data
 * @param {string} passphrase
 */
export async function openWithPassphrase(data, passphrase) {
  const found = new Decrypter();
  found.addPassphrase(passphrase);
  try {
    return bytesOf(await found.decrypt(data));
  } catch {
    throw new OpenError("error.passphrase");
  }
}

/**
 * A new header for `recipient` around the file key of `header`: header ++ old payload is a valid age file.
 *
 * @param {Uint8Array} header
 * @param {string} identity
 * @param {string} recipient
 */
export const rewrap = async (header, identity, recipient) => headerOf(await fileKey(header, identity), recipient);

/**
 * @param {Uint8Array} key of the file
 * @param {string} recipient
 */
async function headerOf(key, recipient) {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  const stanzas = await wrapped(encrypter, key);
  const unsigned = utf8(`age-encryption.org/v1\n${stanzas.map(stanzaText).join("")}---`);
  // c2sp.org/age, "Header MAC": over the header up to and with "---".
  const mac = hmac(sha256, hkdf(sha256, key, undefined, utf8("header"), 32), unsigned);
  return concat(unsigned, utf8(` ${base64(mac).replace(/=+$/, "")}\n`));
}

/**
 * A new age file for one recipient, as its header and payload, and the commitment to its file key.
 *
 * @param {Uint8Array} plain
 * @param {string} recipient
 */
export async function sealCommitted(plain, recipient) {
  const [key, nonce] = [randomBytes(16), randomBytes(16)];
  const streamKey = hkdf(sha256, key, nonce, utf8("payload"), 32);
  const chunks = [];
  for (let at = 0, counter = 0; at === 0 || at < plain.length; at += PLAIN_CHUNK, counter++) {
    const cipher = chacha20poly1305(streamKey, chunkNonce(counter, at + PLAIN_CHUNK >= plain.length));
    chunks.push(cipher.encrypt(plain.subarray(at, at + PLAIN_CHUNK)));
  }
  return { header: await headerOf(key, recipient), payload: concat(nonce, ...chunks), commitment: keyCommitment(key) };
}

/**
 * The stanzas of a file key.  The library keeps its recipients to itself, so this goes past what it declares.
 *
 * @param {any} encrypter
 * @param {Uint8Array} key
 * @returns {Promise<{ args: string[], body: Uint8Array }[]>}
 */
const wrapped = (encrypter, key) => encrypter.recipients[0].wrapFileKey(key);

/** @param {{ args: string[], body: Uint8Array }} options */
function stanzaText({ args, body }) {
  const text = base64(body).replace(/=+$/, "");
  /** @type {string[]} */
  const lines = text.match(/.{1,64}/g) ?? [];
  // c2sp.org/age, "Header": a body ends with a line of fewer than 64 columns, an empty one if need be.
  if (!lines.length || lines[lines.length - 1].length === 64) lines.push("");
  return `-> ${args.join(" ")}\n${lines.join("\n")}\n`;
}

/**
 * The bodies of the stanzas of one kind, as they stand.
 *
 * @param {Uint8Array} header
 * @param {string} kind
 */
export function stanzaBodies(header, kind) {
  const lines = fromUtf8(header).split("\n");
  const found = [];
  for (let i = 1; i < lines.length; i++) {
    if (!lines[i].startsWith("-> ") || lines[i].split(" ")[1] !== kind) continue;
    let text = "";
    do text += lines[++i] ?? "";
    while (lines[i]?.length === 64);
    found.push(unbase64(text + "=".repeat((4 - (text.length % 4)) % 4)));
  }
  return found;
}

/**
 * The authentic beginning of a file with a missing end: `{plain, whole}`.
 *
 * @param {Uint8Array} data
 * @param {string} identity
 */
export async function openPrefix(data, identity) {
  const headerSize = split(data);
  const key = await fileKey(data.subarray(0, headerSize), identity);
  const payload = data.subarray(headerSize);
  const streamKey = hkdf(sha256, key, payload.subarray(0, 16), utf8("payload"), 32);
  const parts = [];
  for (let at = 16, counter = 0; at < payload.length; at += CHUNK, counter++) {
    const chunk = payload.subarray(at, at + CHUNK);
    // As a middle chunk first: of a torn file it is not known which chunk is the last one.
    const plain = openChunk(streamKey, counter, chunk, false) ?? openChunk(streamKey, counter, chunk, true);
    if (!plain) break;
    parts.push(plain.bytes);
    if (plain.last) return { plain: concat(...parts), whole: at + chunk.length === payload.length };
  }
  return { plain: concat(...parts), whole: false };
}

/**
 * @param {Uint8Array} streamKey
 * @param {number} counter
 * @param {Uint8Array} chunk
 * @param {boolean} last
 */
function openChunk(streamKey, counter, chunk, last) {
  try {
    return { bytes: chacha20poly1305(streamKey, chunkNonce(counter, last)).decrypt(chunk), last };
  } catch {
    return undefined;
  }
}

/**
 * @param {number} counter
 * @param {boolean} last
 */
function chunkNonce(counter, last) {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(7, counter);
  nonce[11] = last ? 1 : 0;
  return nonce;
}

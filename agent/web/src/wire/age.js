// age files: opened and sealed by npm age-encryption; here is what it leaves open, rewrapping a header and reading on
// until a torn end (agent/core/vault/age).
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { Decrypter, Encrypter, generateHybridIdentity, identityToRecipient } from "age-encryption";
import { FormatError, OpenError } from "../errors.js";
import { base64, concat, fromUtf8, hex, unbase64, utf8 } from "./bytes.js";

export { generateHybridIdentity, identityToRecipient };

const CHUNK = 64 * 1024 + 16;
const MAC_LINE = utf8("\n--- ");
const LONGEST_HEADER = 128 * 1024;

/** Where the header ends and the payload begins. */
export function split(data) {
  for (let at = 0; at < Math.min(data.length, LONGEST_HEADER) - MAC_LINE.length; at++) {
    if (data[at] === 10 && MAC_LINE.every((byte, i) => data[at + i] === byte)) {
      const end = data.indexOf(10, at + 1);
      if (end > 0 && end - at === 48) return end + 1;
    }
  }
  throw new FormatError("error.format", { what: "age" });
}

function decrypter(identity) {
  const found = new Decrypter();
  found.addIdentity(identity);
  return found;
}

/** Every failure is one error: which check failed helps nobody but an attacker. */
async function guarded(what) {
  try {
    return await what();
  } catch {
    throw new OpenError("error.does-not-open");
  }
}

export const open = (data, identity) => guarded(() => decrypter(identity).decrypt(data));

export const fileKey = (header, identity) => guarded(() => decrypter(identity).decryptHeader(header));

/** Names a file key without giving it away (agent/core/vault/commitment.py). */
export const keyCommitment = (key) => hex(hkdf(sha256, key, undefined, utf8("doorward-file-key"), 32));

export function sealTo(plain, ...recipients) {
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  return encrypter.encrypt(plain);
}

export function sealWithPassphrase(plain, passphrase, workFactor) {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  encrypter.setScryptWorkFactor(workFactor);
  return encrypter.encrypt(plain);
}

export async function openWithPassphrase(data, passphrase) {
  const found = new Decrypter();
  found.addPassphrase(passphrase);
  try {
    return await found.decrypt(data);
  } catch {
    throw new OpenError("error.passphrase");
  }
}

/** A new header for `recipient` around the file key of `header`: header ++ old payload is a valid age file. */
export async function rewrap(header, identity, recipient) {
  const key = await fileKey(header, identity);
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  const stanzas = await encrypter.recipients[0].wrapFileKey(key);
  const unsigned = utf8(`age-encryption.org/v1\n${stanzas.map(stanzaText).join("")}---`);
  const mac = hmac(sha256, hkdf(sha256, key, undefined, utf8("header"), 32), unsigned);
  return concat(unsigned, utf8(` ${base64(mac).replace(/=+$/, "")}\n`));
}

function stanzaText({ args, body }) {
  const text = base64(body).replace(/=+$/, "");
  const lines = text.match(/.{1,64}/g) ?? [];
  if (!lines.length || lines.at(-1).length === 64) lines.push("");
  return `-> ${args.join(" ")}\n${lines.join("\n")}\n`;
}

/** The bodies of the stanzas of one kind, as they stand. */
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

/** As much as is authentic of a file whose end is missing: `{plain, whole}`. */
export async function openPrefix(data, identity) {
  const headerSize = split(data);
  const key = await fileKey(data.subarray(0, headerSize), identity);
  const payload = data.subarray(headerSize);
  const streamKey = hkdf(sha256, key, payload.subarray(0, 16), utf8("payload"), 32);
  const parts = [];
  for (let at = 16, counter = 0; at < payload.length; at += CHUNK, counter++) {
    const chunk = payload.subarray(at, at + CHUNK);
    const plain = openChunk(streamKey, counter, chunk, false) ?? openChunk(streamKey, counter, chunk, true);
    if (!plain) break;
    parts.push(plain.bytes);
    if (plain.last) return { plain: concat(...parts), whole: at + chunk.length === payload.length };
  }
  return { plain: concat(...parts), whole: false };
}

function openChunk(streamKey, counter, chunk, last) {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(7, counter);
  nonce[11] = last ? 1 : 0;
  try {
    return { bytes: chacha20poly1305(streamKey, nonce).decrypt(chunk), last };
  } catch {
    return undefined;
  }
}

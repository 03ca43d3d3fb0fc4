// DSSE with Ed25519 and exactly one signature (agent/wire/envelope.py).
import { FormatError, OpenError } from "../errors.js";
import { base64, concat, unbase64, utf8 } from "./bytes.js";
import { publicKeyOfSeed, sign as signBytes, verifies } from "./keys.js";
import { anyText, keyId, list, object } from "./schema.js";
import { decode, encode } from "./strictjson.js";

/** @import { Claimed, PublicKey } from "../types.js" */

const isEnvelope = object({
  payload: anyText,
  payloadType: anyText,
  signatures: list(object({ keyid: keyId, sig: anyText }), 1, 1),
});

/** @param {string} name */
export const payloadType = (name) => `application/vnd.doorward.${name}+json`;

/**
 * The bytes to sign.
 *
 * @param {string} type
 * @param {Uint8Array} payload
 */
export function pae(type, payload) {
  const kind = utf8(type);
  return concat(utf8(`DSSEv1 ${kind.length} `), kind, utf8(` ${payload.length} `), payload);
}

/**
 * The envelope, as text, of `payload` signed with the key of `seed`.
 *
 * @param {string} type
 * @param {Uint8Array} payload
 * @param {Uint8Array} seed
 */
export async function seal(type, payload, seed) {
  const key = await publicKeyOfSeed(seed);
  const signature = await signBytes(seed, pae(type, payload));
  const envelope = {
    payload: base64(payload),
    payloadType: type,
    signatures: [{ keyid: key.id, sig: base64(signature) }],
  };
  return new TextDecoder().decode(encode(envelope));
}

/**
 * Parsed only. The caller must verify it.
 *
 * @param {Uint8Array} bytes
 * @param {number} [limit]
 * @returns {Claimed}
 */
export function readUnverified(bytes, limit = 12288) {
  const envelope = isEnvelope(decode(bytes, limit));
  const signature = unbase64(envelope.signatures[0].sig);
  if (signature.length !== 64) throw new FormatError("error.format", { what: "signature" });
  return {
    type: envelope.payloadType,
    payload: unbase64(envelope.payload),
    keyId: envelope.signatures[0].keyid,
    signature,
  };
}

/**
 * The payload, once a key of `trusted` (Map by key id) has been seen to sign it.
 *
 * @param {Claimed} claimed
 * @param {Map<string, PublicKey>} trusted
 */
export async function verify(claimed, trusted) {
  const key = trusted.get(claimed.keyId);
  if (
    !key ||
    key.id !== claimed.keyId ||
    !(await verifies(key, claimed.signature, pae(claimed.type, claimed.payload)))
  ) {
    throw new OpenError("error.not-signed");
  }
  return claimed.payload;
}

/**
 * @param {Uint8Array} bytes
 * @param {string} type
 * @param {Map<string, PublicKey>} trusted
 * @param {number} [limit]
 */
export async function open(bytes, type, trusted, limit = 12288) {
  const claimed = readUnverified(bytes, limit);
  if (claimed.type !== type) throw new FormatError("error.format", { what: "type" });
  await verify(claimed, trusted);
  return claimed;
}

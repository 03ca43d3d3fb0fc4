// Envelopes with a second signature by ML-DSA-44 (agent/wire/mldsa.py; FIPS 204).
import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js";
import { FormatError, OpenError } from "../errors.js";
import { sha256hex, unbase64 } from "./bytes.js";
import { pae } from "./envelope.js";
import { verifies } from "./keys.js";
import { anyText, keyId, list, object } from "./schema.js";
import { decode } from "./strictjson.js";

/** @import { Bytes, PublicKey } from "../types.js" */

const KEY_BYTES = 1312;
const SIGNATURES = [64, 2420];

const isHybrid = object({
  payload: anyText,
  payloadType: anyText,
  // A single signature parses, so that the reader can say which one is missing.
  signatures: list(object({ keyid: keyId, sig: anyText }), 1, 2),
});

/**
 * Parsed only. The caller reads the keys from the payload and calls `requireBoth`.
 *
 * @param {Uint8Array} bytes
 * @param {string} type
 * @param {number} limit
 */
export function readHybrid(bytes, type, limit) {
  const envelope = isHybrid(decode(bytes, limit));
  if (envelope.payloadType !== type) throw new FormatError("error.format", { what: "type" });
  const signatures = envelope.signatures.map(({ keyid, sig }) => ({ keyId: keyid, signature: unbase64(sig) }));
  if (signatures.length < 2) throw new OpenError("error.not-signed");
  if (signatures.some(({ signature }, i) => signature.length !== SIGNATURES[i]))
    throw new FormatError("error.format", { what: "signatures" });
  return { type, payload: unbase64(envelope.payload), signatures };
}

/**
 * Throws unless both keys signed the payload. Returns the hash of the second key, which owners' lists name.
 *
 * @param {ReturnType<typeof readHybrid>} claimed
 * @param {PublicKey} key
 * @param {Bytes} second the ML-DSA-44 key
 */
export async function requireBoth(claimed, key, second) {
  if (second.length !== KEY_BYTES) throw new FormatError("error.format", { what: "device_mldsa" });
  const [own, other] = claimed.signatures;
  const signed = pae(claimed.type, claimed.payload);
  const sha256 = await sha256hex(second);
  const isSigned =
    own.keyId === key.id &&
    other.keyId === sha256.slice(0, 16) &&
    (await verifies(key, own.signature, signed)) &&
    ml_dsa44.verify(other.signature, signed, second);
  if (!isSigned) throw new OpenError("error.not-signed");
  return sha256;
}

// Key pairs of trust roots, Ed25519 and ML-DSA-44, and the envelopes that they sign (agent/wire/trust_keys.py).
import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js";
import { FormatError, OpenError } from "../errors.js";
import { MAX_SIGNATURES } from "./bounds.js";
import { hex, sha256hex, unbase64, unbase64url } from "./bytes.js";
import { pae } from "./envelope.js";
import { parseKey, verifies } from "./keys.js";
import { anyText, keyId, list, object } from "./schema.js";
import { decode } from "./strictjson.js";

/** @import { TrustKey } from "../types.js" */

const KEY_BYTES = 1312;
const FIRST_BYTES = 64;
const SIGNATURE_BYTES = FIRST_BYTES + 2420 + KEY_BYTES;

const isSeveral = object({
  payload: anyText,
  payloadType: anyText,
  signatures: list(object({ keyid: keyId, sig: anyText }), 1, MAX_SIGNATURES),
});

/**
 * The pair written `ed25519:…+mldsa44:…`. Throws FormatError, also for an Ed25519 key alone.
 *
 * @param {string} text
 * @returns {Promise<TrustKey>}
 */
export async function parseTrustKey(text) {
  const [first, second, ...more] = text.split("+mldsa44:");
  const key = await parseKey(first);
  if (second === undefined || more.length) throw new FormatError("error.format", { what: "key" });
  const sha256 = unbase64url(second);
  if (sha256.length !== 32) throw new FormatError("error.format", { what: "key" });
  return { key, mldsaSha256: hex(sha256), id: key.id, text };
}

/**
 * @param {TrustKey} pair
 * @param {import("../types.js").Bytes} signature
 * @param {import("../types.js").Bytes} message
 */
async function bothVerify(pair, signature, message) {
  const second = signature.slice(FIRST_BYTES, -KEY_BYTES);
  const mldsa = signature.slice(-KEY_BYTES);
  return (
    (await sha256hex(mldsa)) === pair.mldsaSha256 &&
    (await verifies(pair.key, signature.slice(0, FIRST_BYTES), message)) &&
    ml_dsa44.verify(second, message, mldsa)
  );
}

/**
 * An envelope with one or more signatures by pairs, parsed only. The ids ascend.
 *
 * @param {Uint8Array} bytes
 * @param {string} type
 * @param {number} limit
 */
export function readSeveral(bytes, type, limit) {
  const envelope = isSeveral(decode(bytes, limit));
  if (envelope.payloadType !== type) throw new FormatError("error.format", { what: "type" });
  const signatures = envelope.signatures.map(({ keyid, sig }) => ({ keyId: keyid, signature: unbase64(sig) }));
  const isOrdered = signatures.every((each, i) => i === 0 || signatures[i - 1].keyId < each.keyId);
  if (!isOrdered) throw new FormatError("error.format", { what: "signatures" });
  // A signature by one half of a pair counts for nothing.
  if (signatures.some((each) => each.signature.length === FIRST_BYTES)) throw new OpenError("error.not-signed");
  if (signatures.some((each) => each.signature.length !== SIGNATURE_BYTES))
    throw new FormatError("error.format", { what: "signatures" });
  return { type, payload: unbase64(envelope.payload), signatures };
}

/**
 * Throws unless `threshold` pairs of `keys` signed, and each signature is one of `keys` or `others`.
 *
 * @param {ReturnType<typeof readSeveral>} claimed
 * @param {number} threshold
 * @param {Map<string, TrustKey>} keys
 * @param {Map<string, TrustKey>} [others]
 */
export async function requireSigners(claimed, threshold, keys, others = new Map()) {
  const signed = pae(claimed.type, claimed.payload);
  let counted = 0;
  for (const { keyId: id, signature } of claimed.signatures) {
    const pair = keys.get(id) ?? others.get(id);
    if (!pair || !(await bothVerify(pair, signature, signed))) throw new OpenError("error.not-signed");
    counted += keys.has(id) ? 1 : 0;
  }
  if (counted < threshold) throw new OpenError("error.not-signed");
}

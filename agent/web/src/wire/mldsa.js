// Envelopes with a second signature by ML-DSA-44 (agent/wire/identities.py; FIPS 204).
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js";
import { FormatError, OpenError } from "../errors.js";
import { STATEMENT_ENVELOPE_LIMIT } from "./bounds.js";
import { base64, sha256hex, unbase64, utf8 } from "./bytes.js";
import { pae } from "./envelope.js";
import { parseKey, publicKeyOfSeed, sign, verifies } from "./keys.js";
import { anyText, keyId, list, object } from "./schema.js";
import { decode, encode } from "./strictjson.js";

/** @import { Bytes, PublicKey, Signer } from "../types.js" */
/** @import * as Wire from "./generated.js" */

const APPROVAL_INFO = "doorward approval ml-dsa v1";
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
 * @param {string | undefined} type undefined for any
 * @param {number} limit
 */
export function readHybrid(bytes, type, limit) {
  const envelope = isHybrid(decode(bytes, limit));
  if (type !== undefined && envelope.payloadType !== type) throw new FormatError("error.format", { what: "type" });
  const signatures = envelope.signatures.map(({ keyid, sig }) => ({ keyId: keyid, signature: unbase64(sig) }));
  if (signatures.length < 2) throw new OpenError("error.not-signed");
  if (signatures.some(({ signature }, i) => signature.length !== SIGNATURES[i]))
    throw new FormatError("error.format", { what: "signatures" });
  return { type: envelope.payloadType, payload: unbase64(envelope.payload), signatures, keyId: signatures[0].keyId };
}

/**
 * Throws unless both keys signed the payload. Returns the hash of the second key, which owners' lists name.
 *
 * @param {ReturnType<typeof readHybrid>} claimed
 * @param {PublicKey} key
 * @param {Bytes} second the ML-DSA-44 key
 */
export async function requireBoth(claimed, key, second) {
  if (second.length !== KEY_BYTES) throw new FormatError("error.format", { what: "mldsa" });
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

/**
 * The second key of the owner with the approval key of `seed` (agent/wire/identities.py, `approval_mldsa_key`).
 *
 * @param {Uint8Array} seed
 */
const approvalKeys = (seed) => ml_dsa44.keygen(hkdf(sha256, seed, undefined, utf8(APPROVAL_INFO), 32));

/**
 * Both public keys of an approval key, as an owner's list names them.
 *
 * @param {Uint8Array} seed
 */
export async function approverOf(seed) {
  return { key: (await publicKeyOfSeed(seed)).text, mldsa: base64(approvalKeys(seed).publicKey) };
}

/**
 * The envelope of an owner's statement, as text, signed with both keys.
 *
 * @param {string} type
 * @param {Uint8Array} payload
 * @param {Uint8Array} seed of the approval key
 */
export async function sealStatement(type, payload, seed) {
  const signed = pae(type, payload);
  const { publicKey, secretKey } = approvalKeys(seed);
  const signatures = [
    { keyid: (await publicKeyOfSeed(seed)).id, sig: base64(await sign(seed, signed)) },
    { keyid: (await sha256hex(publicKey)).slice(0, 16), sig: base64(ml_dsa44.sign(signed, secretKey)) },
  ];
  return new TextDecoder().decode(encode({ payload: base64(payload), payloadType: type, signatures }));
}

/**
 * An owner's statement, parsed only.
 *
 * @param {Uint8Array} bytes
 */
export const readStatement = (bytes) => readHybrid(bytes, undefined, STATEMENT_ENVELOPE_LIMIT);

/**
 * An owner's statement, once both keys of one of `signers` (Map by id of the Ed25519 key) have been seen to sign it.
 *
 * @param {Uint8Array} bytes
 * @param {string} type
 * @param {Map<string, Signer>} signers
 */
export async function openStatement(bytes, type, signers) {
  const claimed = readHybrid(bytes, type, STATEMENT_ENVELOPE_LIMIT);
  const signer = signers.get(claimed.keyId);
  if (!signer) throw new OpenError("error.not-signed");
  await requireBoth(claimed, signer.key, signer.mldsa);
  return claimed;
}

/**
 * The approvers of a list of owners, by the id of their Ed25519 key.
 *
 * @param {Pick<Wire.Enrolment, "approvers">} enrolment
 * @returns {Promise<Map<string, Signer & { name: string }>>}
 */
export async function signersOf(enrolment) {
  const found = new Map();
  for (const { name, key: text, mldsa } of enrolment.approvers) {
    const key = await parseKey(text);
    found.set(key.id, { key, mldsa: unbase64(mldsa), name });
  }
  return found;
}

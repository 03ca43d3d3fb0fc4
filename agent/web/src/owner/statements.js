// Signs an owner's statement and hands it to the doorbell (agent/clients/owner/statements.py).
import { LostError, RefusedError } from "../errors.js";
import { ask } from "../link.js";
import { concat } from "../wire/bytes.js";
import { payloadType } from "../wire/envelope.js";
import { sealStatement } from "../wire/mldsa.js";
import { encode } from "../wire/strictjson.js";

/** @import { Answer, Bytes, PublicKey } from "../types.js" */

/**
 * A refusal within this many milliseconds permits a second try: too short for an owner to have decided otherwise
 * meanwhile.
 */
const AGAIN_WITHIN_MS = 2000;

/**
 * The doorbell gives out what makes a statement good once and soon.
 *
 * @param {string} kind
 * @param {PublicKey} device
 * @param {object} matter
 * @param {Bytes} approval
 * @param {number} [nowMs]
 */
export async function statement(kind, device, matter, approval, nowMs = Date.now()) {
  const { nonce } = await ask("nonce");
  const value = { v: 1, device: device.text, owner_time_ms: nowMs, nonce, ...matter };
  return sealStatement(payloadType(kind), encode(value), approval);
}

/**
 * Once more with a later number if another client of the same owner was quicker.  A refusal that comes late is final.
 *
 * @param {string} kind
 * @param {PublicKey} device
 * @param {object} matter
 * @param {Bytes} approval
 * @param {Bytes[]} [headers]
 * @returns {Promise<Answer>}
 */
export async function signAndSubmit(kind, device, matter, approval, headers = []) {
  const begun = performance.now();
  try {
    return await handIn(kind, device, matter, approval, headers);
  } catch (error) {
    const isOvertaken = error instanceof RefusedError && error.kind === "OvertakenError";
    if (!isOvertaken || performance.now() - begun > AGAIN_WITHIN_MS) throw error;
    return handIn(kind, device, matter, approval, headers);
  }
}

/**
 * @param {string} kind
 * @param {PublicKey} device
 * @param {object} matter
 * @param {Bytes} approval
 * @param {Bytes[]} headers
 */
async function handIn(kind, device, matter, approval, headers) {
  const envelope = await statement(kind, device, matter, approval);
  const sizes = headers.map((header) => header.length);
  return ask("statement", { envelope, sizes }, concat(...headers)).catch(throwUnsure);
}

/**
 * Once the signature has left, a lost connection leaves open whether it counts. A relay can drop the answer alone.
 *
 * @param {unknown} error
 * @returns {never}
 */
export function throwUnsure(error) {
  throw error instanceof LostError ? new LostError("error.lost-signed") : error;
}

// The secret of a neighbour's submission: one random seed, kept behind the "#" of the address of their page.
// A browser does not send that part of an address. Decision 66.

import { hybridIdentity, identityToRecipient } from "../../agent/web/src/wire/age.js";
import { base64, concat, sha256hex, unbase64, utf8 } from "../../agent/web/src/wire/bytes.js";

const SEED_BYTES = 32;
const TOKEN = "doorward neighbour token v1\n";

/** @typedef {{ seed: Uint8Array, identity: string, token: string }} NeighbourKey */

/** @returns {Promise<NeighbourKey>} */
export const makeKey = () => keyOf(crypto.getRandomValues(new Uint8Array(SEED_BYTES)));

/**
 * The key that opens answers, and the token with which the desk gives out the submission.
 *
 * @param {Uint8Array} seed
 * @returns {Promise<NeighbourKey>}
 */
export async function keyOf(seed) {
  // The desk learns the token. No way leads from it back to the seed, and so to the key.
  return { seed, identity: hybridIdentity(seed), token: await sha256hex(concat(utf8(TOKEN), seed)) };
}

/** @param {NeighbourKey} key */
export const recipientOf = (key) => identityToRecipient(key.identity);

/** @param {NeighbourKey} key */
export const fragmentOf = ({ seed }) => base64(seed).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

/**
 * The key in the fragment of an address, or undefined if there is none.
 *
 * @param {string} fragment
 */
export async function keyIn(fragment) {
  const text = fragment.replace(/^#/, "").replace(/-/g, "+").replace(/_/g, "/");
  if (!/^[A-Za-z0-9+/]{43}$/.test(text)) return undefined;
  try {
    return await keyOf(unbase64(`${text}=`));
  } catch {
    return undefined;
  }
}

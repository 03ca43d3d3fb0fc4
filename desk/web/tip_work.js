// The proof of work of a tip (desk/neighbourhood/proof_of_work.py), in a worker.

import { sha256 } from "../../agent/web/src/node_modules/@noble/hashes/sha2.js";

/** Number of zero bits at the beginning of a digest. */
function zeroBits(/** @type {Uint8Array} */ digest) {
  let bits = 0;
  for (const byte of digest) {
    if (byte) return bits + Math.clz32(byte) - 24;
    bits += 8;
  }
  return bits;
}

addEventListener("message", ({ data: { begin, bits } }) => {
  const encoder = new TextEncoder();
  // `crypto.subtle` only gives promises, and a task for each of these small hashes costs more than the hash.
  for (let nonce = 0; ; nonce++) {
    if (zeroBits(sha256(encoder.encode(begin + nonce))) >= bits) {
      postMessage(String(nonce));
      return;
    }
  }
});

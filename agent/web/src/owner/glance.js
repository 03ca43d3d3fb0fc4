// The glance key: opens the pictures of alerts, and nothing that is stored.  It has no passphrase, so that a
// notification can show who is at the door before an owner has unlocked anything.
//
// The doorbell's recorder seals each picture to it.  The key is an age identity, sealed in this browser with an AES key
// that no script can read.  Its public half is in the statement with which an owner switched alerts on, and ends with
// them.
//
// An Ed25519 key that is derived from it opens sessions of the link (`glance_signer`, agent/wire/link/LINK.md), and
// proves itself to the page at home. There it may call the operations with the access level `glance`
// (agent/ipc/control_operations.py): a ring is answered with one tap. The recorder seals live pictures to it only while
// it watches.
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { generateHybridIdentity, identityToRecipient, open } from "../wire/age.js";
import { concat, fromUtf8, randomBytes, unbase64, utf8 } from "../wire/bytes.js";
import { publicKeyOfSeed, sign } from "../wire/keys.js";
import * as store from "./store.js";

/** @import { Bytes } from "../types.js" */

const NAME = "AES-GCM";
const LARGEST_HEADER = 8192;
/** After this long a visitor has gone, and the timeline says more. */
const STILL_NEWS_MS = 10 * 60_000;

const SIGNER_INFO = "doorward glance signing key v1";

/** @param {string} identity */
const signerSeed = (identity) => hkdf(sha256, utf8(identity), undefined, utf8(SIGNER_INFO), 32);

/** Makes a new glance key, keeps it in place of an older one, and returns what the owner signs of it. */
export async function makeGlanceKey() {
  const identity = await generateHybridIdentity();
  // Not extractable: a script that reads the storage gets a handle, and no bytes that it could send away.
  const key = await crypto.subtle.generateKey({ name: NAME, length: 256 }, false, ["encrypt", "decrypt"]);
  const iv = randomBytes(12);
  const sealed = new Uint8Array(await crypto.subtle.encrypt({ name: NAME, iv }, key, utf8(identity)));
  await store.keepGlance({ key, iv, sealed });
  const signer = await publicKeyOfSeed(signerSeed(identity));
  return { glance: await identityToRecipient(identity), glance_signer: signer.text };
}

/** The glance key of this browser and its signing key, or undefined without one. */
export async function glanceKey() {
  const identity = await glanceIdentity();
  if (identity === undefined) return undefined;
  const seed = signerSeed(identity);
  /** @param {Bytes} message */
  const signed = (message) => sign(seed, message);
  return { identity, seed, own: await publicKeyOfSeed(seed), sign: signed };
}

async function glanceIdentity() {
  const kept = await store.glance();
  if (!kept) return undefined;
  const { key, iv, sealed } = kept;
  return fromUtf8(new Uint8Array(await crypto.subtle.decrypt({ name: NAME, iv }, key, sealed)));
}

/**
 * Keeps the newest alert's picture, as sealed as it came.
 *
 * @param {unknown} picture
 * @param {number} at UTC ms
 */
export const keepAlert = (picture, at) => store.keepAlert({ picture, at });

/** The picture of the newest alert, and when it came; null if there was none, or it was long ago. */
export async function newestAlert() {
  const kept = await store.alert();
  // An alert of the future came before this device's clock was set back.
  if (!kept || Math.abs(Date.now() - kept.at) > STILL_NEWS_MS) return null;
  const media = await openPicture(kept.picture);
  return media ? { media, at: kept.at } : null;
}

/**
 * The picture of an alert (WebP), or undefined if this browser has no key for it: an alert must still be shown.
 *
 * @param {unknown} said `{header, payload}`: the two parts of an age file, the second in base64
 * @returns {Promise<Bytes | undefined>}
 */
export async function openPicture(said) {
  try {
    const { header, payload } = /** @type {{ header: unknown, payload: unknown }} */ (said);
    const identity = await glanceIdentity();
    if (!identity || typeof header !== "string" || header.length > LARGEST_HEADER || typeof payload !== "string")
      return undefined;
    return await open(concat(utf8(header), unbase64(payload)), identity);
  } catch {
    return undefined;
  }
}

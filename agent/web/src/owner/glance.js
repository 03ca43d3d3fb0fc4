// The glance key: opens the pictures of alerts, and nothing that is stored.  It has no passphrase, so that a
// notification can show who is at the door before an owner has unlocked anything.
//
// The doorbell's recorder seals each picture to it.  The key is an age identity, sealed in this browser with an AES key
// that no script can read.  Its public half is in the statement with which an owner switched alerts on, and ends with
// them.
//
// A browser may also register a signing key, with which it opens sessions of the link without a passphrase
// (`glance_signer`, agent/wire/link/LINK.md). This page registers none: in such a session it could
// open no live picture.
import { generateHybridIdentity, identityToRecipient, open } from "../wire/age.js";
import { concat, fromUtf8, randomBytes, unbase64, utf8 } from "../wire/bytes.js";
import * as store from "./store.js";

/** @import { Bytes } from "../types.js" */

const NAME = "AES-GCM";
const LARGEST_HEADER = 8192;
/** After this long a visitor has gone, and the timeline says more. */
const STILL_NEWS_MS = 10 * 60_000;

/** Makes a new glance key, keeps it in place of an older one, and returns what the owner signs of it. */
export async function makeGlanceKey() {
  const identity = await generateHybridIdentity();
  const key = await crypto.subtle.generateKey({ name: NAME, length: 256 }, false, ["encrypt", "decrypt"]);
  const iv = randomBytes(12);
  const sealed = new Uint8Array(await crypto.subtle.encrypt({ name: NAME, iv }, key, utf8(identity)));
  await store.keepGlance({ key, iv, sealed });
  return { glance: await identityToRecipient(identity) };
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
  if (!kept || Date.now() - kept.at > STILL_NEWS_MS) return null;
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

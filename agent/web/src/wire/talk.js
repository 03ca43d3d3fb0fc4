// Talk sessions (agent/core/talk/TALK.md): reads an offer, and seals frames to the doorbell's recorder.
import { FormatError, OpenError } from "../errors.js";
import { open as openAge } from "./age.js";
import { concat, hex, sha256, unbase64, unhex, utf8 } from "./bytes.js";
import { open as openEnvelope, payloadType } from "./envelope.js";
import { anyText, hexId, integer, keyText, list, object, sha256Text, version1 } from "./schema.js";
import { decode } from "./strictjson.js";

/** @import { Bytes, PublicKey } from "../types.js" */

export const KIND = Object.freeze({ OPUS: 1, MULAW: 2, REPLY: 3, VOLUME: 4, PAUSE: 5 });

const OFFER = payloadType("talk-offer");
const INFO = utf8("doorward talk frames v1");
const PAD = 128;
const MOST_PADDED = 512;
const MOST_REPLIES = 16;
const KEY_BYTES = 32;

const isOffer = object({ v: version1, device: keyText, challenge: hexId, session: hexId, sealed_sha256: sha256Text });
const isSecret = object({
  v: version1,
  session: hexId,
  key: anyText,
  volume: integer(0, 100),
  replies: list(anyText, 0, MOST_REPLIES),
});

/**
 * The session that an offer is about. Throws OpenError if another doorbell made it, or if it answers another question.
 *
 * @param {{ envelope: string, sealed: Bytes, challenge: string, device: PublicKey, identity: string }} offered
 * @returns {Promise<{ session: string, key: Bytes, volume: number, replies: string[] }>}
 */
export async function readOffer({ envelope, sealed, challenge, device, identity }) {
  const opened = await openEnvelope(utf8(envelope), OFFER, new Map([[device.id, device]]));
  const offer = isOffer(decode(opened.payload));
  const isMine = offer.challenge === challenge && offer.device === device.text;
  if (!isMine || hex(await sha256(sealed)) !== offer.sealed_sha256) throw new OpenError("error.other-record");
  const secret = isSecret(decode(await openAge(sealed, identity)));
  const key = unbase64(secret.key);
  if (secret.session !== offer.session || key.length !== KEY_BYTES) throw new OpenError("error.other-record");
  return { session: secret.session, key, volume: secret.volume, replies: secret.replies };
}

/**
 * Seals the frames of one session, in order.
 *
 * @param {Bytes} key
 * @param {string} session
 */
export async function frameWriter(key, session) {
  const salt = unhex(session);
  const secret = await crypto.subtle.importKey("raw", key, "HKDF", false, ["deriveKey"]);
  const aes = await crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt, info: INFO },
    secret,
    { name: "AES-GCM", length: 256 },
    false,
    ["encrypt"],
  );
  let counter = 0;
  /**
   * @param {number} kind
   * @param {Uint8Array} content
   */
  return async (kind, content = new Uint8Array()) => {
    const plain = new Uint8Array(Math.ceil((3 + content.length) / PAD) * PAD);
    if (plain.length > MOST_PADDED) throw new FormatError("error.format", { what: "talk" });
    plain.set([kind, content.length >> 8, content.length & 255]);
    plain.set(content, 3);
    const iv = new Uint8Array(12);
    new DataView(iv.buffer).setBigUint64(4, BigInt(++counter));
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: salt }, aes, plain);
    return concat(iv.subarray(4), new Uint8Array(sealed));
  };
}

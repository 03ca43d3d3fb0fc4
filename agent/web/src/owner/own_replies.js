// Own replies: sounds that an owner has recorded or chosen, kept in this browser as frames of a talk session.
//
// They are sealed with an AES key that no script can read, like the glance key, so they play while the keys are locked.
// The doorbell has no copy: the page sends them as the owner's voice (docs/decisions/0055-own-replies.md).
import { FormatError, PageError } from "../errors.js";
import { concat, randomBytes, utf8 } from "../wire/bytes.js";
import { KIND } from "../wire/talk.js";
import * as store from "./store.js";

/** @import { Bytes, OwnReplies, TalkFrame } from "../types.js" */

export const MOST_REPLIES = 8;
/** 15 s of 20 ms. */
export const MOST_FRAMES = 750;
const LONGEST_NAME = 64;
const MOST_BYTES = 512 * 1024;
const AES = "AES-GCM";

/** The names, in the order in which they were kept. */
export async function names() {
  return (await store.replies())?.replies.map(({ name }) => name) ?? [];
}

/**
 * Keeps a reply in place of one with the same name. Throws PageError if it is too long, or if there are too many.
 *
 * @param {string} name
 * @param {TalkFrame[]} frames
 */
export async function keep(name, frames) {
  const kept = (await store.replies()) ?? { key: await newKey(), replies: [] };
  const others = kept.replies.filter((each) => each.name !== name);
  if (!name || name.length > LONGEST_NAME) throw new PageError("talk.own.name-needed");
  if (others.length >= MOST_REPLIES) throw new PageError("talk.own.full", { n: MOST_REPLIES });
  if (frames.length > MOST_FRAMES) throw new PageError("talk.own.long", { n: (MOST_FRAMES * 20) / 1000 });
  if (!frames.length) throw new PageError("talk.own.silent");
  const data = written(frames);
  if (data.length > MOST_BYTES) throw new FormatError("error.format", { what: "talk" });
  const iv = randomBytes(12);
  const about = { name: AES, iv, additionalData: utf8(name) };
  const sealed = new Uint8Array(await crypto.subtle.encrypt(about, kept.key, data));
  await store.keepReplies({ key: kept.key, replies: [...others, { name, iv, sealed }] });
}

/** @param {string} name */
export async function remove(name) {
  const kept = await store.replies();
  if (kept) await store.keepReplies({ ...kept, replies: kept.replies.filter((each) => each.name !== name) });
}

/**
 * The frames of a reply. Throws FormatError if it is missing or damaged.
 *
 * @param {string} name
 * @returns {Promise<TalkFrame[]>}
 */
export async function frames(name) {
  const kept = await store.replies();
  const found = kept?.replies.find((each) => each.name === name);
  if (!kept || !found) throw new FormatError("error.format", { what: "talk" });
  const about = { name: AES, iv: found.iv, additionalData: utf8(name) };
  try {
    return read(new Uint8Array(await crypto.subtle.decrypt(about, kept.key, found.sealed)));
  } catch {
    throw new FormatError("error.format", { what: "talk" });
  }
}

const newKey = () => crypto.subtle.generateKey({ name: AES, length: 256 }, false, ["encrypt", "decrypt"]);

/**
 * Each frame as its kind, the length of its content in two bytes, and the content.
 *
 * @param {TalkFrame[]} all
 * @returns {Bytes}
 */
export function written(all) {
  return concat(
    ...all.map(({ kind, content }) => concat(Uint8Array.of(kind, content.length >> 8, content.length & 255), content)),
  );
}

/**
 * @param {Bytes} data
 * @returns {TalkFrame[]}
 */
export function read(data) {
  const found = [];
  for (let at = 0; at < data.length; ) {
    const [kind, high, low] = data.subarray(at, at + 3);
    const content = data.slice(at + 3, at + 3 + high * 256 + low);
    if ((kind !== KIND.OPUS && kind !== KIND.MULAW) || content.length !== high * 256 + low || !content.length)
      throw new FormatError("error.format", { what: "talk" });
    found.push({ kind, content });
    at += 3 + content.length;
  }
  return found;
}

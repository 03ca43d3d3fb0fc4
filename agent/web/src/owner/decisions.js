// Everything an owner can decide about a reviewed request (agent/clients/owner/decisions.py): each a statement
// signed here.
import { FormatError, OpenError, PageError } from "../errors.js";
import { ask } from "../link.js";
import { rewrap, sealTo, split } from "../wire/age.js";
import { base64, sha256hex } from "../wire/bytes.js";
import { contactCard } from "../wire/messages.js";
import { BODY_BYTES } from "../wire/operations.js";
import { bootSpanOf, eventOf, filmLengthMs, isCut, posterOf, soundOf } from "../wire/segment.js";
import { encode } from "../wire/strictjson.js";
import { redactionsOf, requireHidden } from "./redaction_plan.js";
import { clipsOf, fetchPoster, fetchSegment, fetchSound, payloadOf } from "./review.js";
import { signAndSubmit } from "./statements.js";
import { syncAfter, syncDevice } from "./sync.js";

/** @import { Bytes, CaptureRecord, Choice, Failed, FetchFile, Offered, PublicKey } from "../types.js" */
/** @import { Reviewed, Unlocked, WithIdentity } from "../types.js" */
/** @import { RedactedFiles } from "./redacted_files.js" */
/** @import { File } from "./redaction_plan.js" */
/** @import * as Wire from "../wire/generated.js" */
/**
 * Shares exactly these segments and stills of the reviewed request. Returns the id of the disclosure. If a file does
 * not open (damaged, gone, or cut before its first fragment was whole), throws `error.cannot-share` with its name and
 * reason before anything is signed. `whichever(open)` tries each of the owner's identities: after a recovery an older
 * one opens the older footage. A file that `plans` redact leaves as the new one that `redacted` makes.
 *
 * @param {Reviewed} found
 * @param {Unlocked} keys
 * @param {Choice} choice
 * @param {WithIdentity} whichever
 * @param {RedactedFiles} redacted
 */
export async function approve(found, keys, choice, whichever, redacted) {
  const { segments, posters, sounds = [], clips, contact, gaps, exact = false } = choice;
  if (!segments.length && !posters.length && !clips.length) throw new PageError("error.nothing-chosen");
  const redactions = plannedFor(found, choice);
  if (Date.now() / 1000 > found.request.not_after) throw new PageError("error.over");
  const synced = await syncDevice();
  // The review may be old. Another doorbell behind the same name has other footage under its ids.
  if (synced.device.id !== found.synced.device.id) throw new OpenError("error.unknown-doorbell");
  const to = { device: synced.device, reply: found.request.reply };
  /** @type {Bytes[]} */
  const blobs = [];
  /** @type {Failed[]} */
  const failed = [];
  /**
   * @param {string[]} ids
   * @param {FetchFile} fetchOne
   * @param {(record: CaptureRecord) => Wire.SealedFile | undefined} fileOf
   * @param {File} [file] the kind of file that may be redacted
   */
  const items = async (ids, fetchOne, fileOf, file) => {
    /** @type {Wire.SealedItem[]} */
    const made = [];
    // One after the other: each film is opened whole, and a phone has not the memory for all of them.
    for (const each of found.segments.filter(({ id }) => ids.includes(id))) {
      const hidden = file && redactions[file][each.id];
      /** @type {() => Promise<{ item: Wire.SealedItem, own: Bytes[] }>} `own`: what the doorbell is handed */
      const make = hidden
        ? () => redacted.seal(file, each, hidden, { ...to, exact })
        : () => whichever((identity) => rewrapped(each, identity, to, fetchOne, fileOf));
      const one = await orSkip(each.id, failed, make);
      if (!one) continue;
      blobs.push(...one.own);
      made.push(one.item);
    }
    return made;
  };
  if ([...segments, ...posters].some((id) => !found.segments.some((each) => each.id === id)))
    throw new PageError("error.other-record");
  const segmentItems = await items(segments, fetchSegment, (record) => record.file, "segment");
  const posterItems = await items(posters, fetchPoster, posterOf);
  const heard = sounds.filter((id) => segments.includes(id));
  const soundItems = await items(heard, fetchSound, soundOf, "sound");
  // All failures at once, and nothing signed: the owner decides again, instead of sharing less than they chose.
  if (failed.length) throw new PageError("error.cannot-share", { n: failed.length, failed });
  requireRoom(blobs, exact);
  const matter = {
    request: found.sha256,
    reply: found.request.reply,
    segments: segmentItems,
    posters: posterItems.length ? posterItems : undefined,
    sounds: soundItems.length ? soundItems : undefined,
    clips: clips.length ? clipsTold(found, clips) : undefined,
    contact: contact && base64(await sealTo(encode(contactCard(contact)), found.request.reply)),
    gaps,
  };
  const answer = await signAndSubmit("approval", synced.device, matter, keys.approval, blobs);
  await syncAfter();
  return answer.disclosure;
}

/**
 * Wraps the key of a captured file for the requester. Returns its item, and the new header that the doorbell is handed.
 *
 * @param {Offered} each
 * @param {string} identity
 * @param {{ device: PublicKey, reply: string }} to
 * @param {FetchFile} fetchOne
 * @param {(record: CaptureRecord) => Wire.SealedFile | undefined} fileOf
 */
async function rewrapped({ id, record }, identity, { device, reply }, fetchOne, fileOf) {
  const { data } = await fetchOne(id, device, identity, record);
  // `fetchOne` has compared every byte with its record, so the key is of footage that this owner can see.
  const header = await rewrap(data.subarray(0, split(data)), identity, reply);
  return {
    item: { id, payload_sha256: hashIn(fileOf(record)), header_sha256: await sha256hex(header) },
    own: [header],
  };
}

/**
 * The redactions of a choice. Throws `PageError` if a plan is malformed, or the choice would show what it hides.
 *
 * @param {Reviewed} found
 * @param {Pick<Choice, "segments" | "posters" | "sounds" | "plans">} choice
 */
export function plannedFor(found, choice) {
  const redactions = redactionsOf(choice.plans ?? {}, datedClips(found));
  requireHidden(redactions, datedClips(found), choice);
  return redactions;
}

/** @param {Reviewed} found */
export const datedClips = (found) =>
  clipsOf(found.segments).map(({ event, poster, segments }, i) => ({
    number: i + 1,
    event,
    poster,
    segments: segments.map(({ id, number, record }) => ({
      id,
      number,
      lengthMs: filmLengthMs(record),
      span: bootSpanOf(record),
      isCut: isCut(record),
    })),
  }));

/**
 * Throws `PageError` if the doorbell would refuse the approval for its size.
 *
 * @param {Bytes[]} blobs
 * @param {boolean} exact
 */
export function requireRoom(blobs, exact) {
  const size = blobs.reduce((sum, { length }) => sum + length, 0);
  if (size > BODY_BYTES.statement)
    throw new PageError(exact ? "error.redacted-size.exact" : "error.redacted-size", {
      size: Math.floor(size / 1e6),
      most: Math.floor(BODY_BYTES.statement / 1e6),
    });
}

/**
 * Returns the result of `opening`. If the file is gone or fails to open, returns undefined and adds a line to `failed`.
 *
 * @template T
 * @param {string} id
 * @param {Failed[]} failed
 * @param {() => Promise<T>} opening
 * @returns {Promise<T | undefined>}
 */
export async function orSkip(id, failed, opening) {
  try {
    return await opening();
  } catch (error) {
    if (!(error instanceof PageError)) throw error;
    // A lost connection or a locked key is no fault of this file, and must not be offered as "leave it out".
    if (!(error instanceof FormatError) && error.text !== "error.gone") throw error;
    failed.push({ id, text: error.text, values: error.values });
    return undefined;
  }
}

/**
 * The hash that a record gives for one of its files.
 *
 * @param {Wire.SealedFile | undefined} file
 */
export function hashIn(file) {
  if (!file) throw new PageError("error.other-record");
  return file.sha256_payload;
}

/**
 * That these clips exist, and when: as core/disclosure/releasing.py counts them.
 *
 * @param {Reviewed} found
 * @param {string[]} events
 */
function clipsTold(found, events) {
  return events.map((event) => {
    const own = found.segments.filter((each) => eventOf(each.record) === event);
    if (!own.length) throw new PageError("error.other-record");
    const from = Math.max(0, Math.min(...own.map((each) => each.span.start)));
    return { from_ms: from, to_ms: Math.max(0, ...own.map((each) => each.span.end)), segments: own.length };
  });
}

/**
 * Agree to exactly what another owner approved.
 *
 * @param {Reviewed} found
 * @param {Unlocked} keys
 */
export async function coApprove(found, keys) {
  if (!found.first) throw new PageError("error.review-first");
  // Names are distinct in a list of owners. The doorbell and the requester check the keys again.
  if (found.first.by === keys.card.name) throw new PageError("error.not-yourself-second");
  if (Date.now() / 1000 > found.request.not_after) throw new PageError("error.over");
  return decide("co-approval", { request: found.sha256, approval: found.first.sha256 }, keys);
}

/**
 * Denies a request. Checks only the request's identity. An owner can thus also deny a request of a requester they trust
 * no longer, or one from before their enrolment, which fails to open for them and is named as the doorbell names it.
 *
 * @param {string} id
 * @param {Unlocked} keys
 */
export async function deny(id, keys) {
  const synced = await syncDevice();
  const answer = await ask("request", { id });
  const request = await payloadOf(answer, id, keys.identity).then(
    ({ sha256 }) => sha256,
    (error) => {
      // A request from before this owner's enrolment. The worst effect of a false hash is that another request is
      // denied.
      if (error.text !== "error.does-not-open") throw error;
      return answer.payload_sha256;
    },
  );
  await signAndSubmit("denial", synced.device, { request }, keys.approval);
  await syncAfter();
}

/**
 * @param {string} kind
 * @param {object} matter
 * @param {Unlocked} keys
 */
export async function decide(kind, matter, keys) {
  const synced = await syncDevice();
  const answer = await signAndSubmit(kind, synced.device, matter, keys.approval);
  await syncAfter();
  return answer;
}

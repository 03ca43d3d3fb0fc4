// Everything an owner can decide about a reviewed request (agent/clients/owner/decisions.py): each a statement
// signed here.
import { FormatError, OpenError, PageError } from "../errors.js";
import { ask } from "../link.js";
import { rewrap, sealTo, split } from "../wire/age.js";
import { base64, sha256hex } from "../wire/bytes.js";
import { contactCard } from "../wire/messages.js";
import { eventOf, posterOf, soundOf } from "../wire/segment.js";
import { encode } from "../wire/strictjson.js";
import { fetchPoster, fetchSegment, fetchSound, payloadOf } from "./review.js";
import { signAndSubmit } from "./statements.js";
import { syncDevice } from "./sync.js";

/** @import { Bytes, CaptureRecord, Choice, Failed, FetchFile, Reviewed, Unlocked, WithIdentity } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
/**
 * Shares exactly these segments and stills of the reviewed request. Returns the id of the disclosure. If a file does
 * not open (damaged, gone, or cut before its first fragment was whole), throws `error.cannot-share` with its name and
 * reason before anything is signed. `whichever(open)` tries each of the owner's identities: after a recovery an older
 * one opens the older footage.
 *
 * @param {Reviewed} found
 * @param {Unlocked} keys
 * @param {Choice} options
 * @param {WithIdentity} whichever
 */
export async function approve(found, keys, { segments, posters, sounds = [], clips, contact, gaps }, whichever) {
  if (!segments.length && !posters.length && !clips.length) throw new PageError("error.nothing-chosen");
  if (Date.now() / 1000 > found.request.not_after) throw new PageError("error.over");
  const synced = await syncDevice();
  if (synced.device.id !== found.synced.device.id) throw new OpenError("error.unknown-doorbell");
  const byId = new Map(found.segments.map((each) => [each.id, each]));
  /** @type {Bytes[]} */
  const headers = [];
  /** @type {Failed[]} */
  const failed = [];
  /**
   * @param {string[]} ids
   * @param {FetchFile} fetchOne
   * @param {(record: CaptureRecord) => Wire.SealedFile | undefined} fileOf
   */
  const items = async (ids, fetchOne, fileOf) => {
    const made = [];
    for (const id of ids) {
      const each = byId.get(id);
      if (!each) throw new PageError("error.other-record");
      const header = await orSkip(id, failed, () =>
        whichever(async (identity) => {
          const { data } = await fetchOne(id, synced.device, identity, each.record);
          return rewrap(data.subarray(0, split(data)), identity, found.request.reply);
        }),
      );
      if (!header) continue;
      headers.push(header);
      made.push({ id, payload_sha256: hashIn(fileOf(each.record)), header_sha256: await sha256hex(header) });
    }
    return made;
  };
  /** @param {string[]} ids */
  const inOrder = (ids) => found.segments.map((each) => each.id).filter((id) => ids.includes(id));
  const segmentItems = await items(inOrder(segments), fetchSegment, (record) => record.file);
  const posterItems = await items(inOrder(posters), fetchPoster, posterOf);
  const soundItems = await items(
    inOrder(sounds).filter((id) => segments.includes(id)),
    fetchSound,
    soundOf,
  );
  if (failed.length) throw new PageError("error.cannot-share", { n: failed.length, failed });
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
  const answer = await signAndSubmit("approval", synced.device, matter, keys.approval, headers);
  await syncDevice();
  return answer.disclosure;
}

/**
 * Returns the result of `opening`. If the file is gone or does not open, returns undefined and adds a line to `failed`.
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
  if (found.first.by === keys.card.name) throw new PageError("error.not-yourself-second");
  if (Date.now() / 1000 > found.request.not_after) throw new PageError("error.over");
  return decide("co-approval", { request: found.sha256, approval: found.first.sha256 }, keys);
}

/**
 * Denies a request. Checks only the request's identity. An owner can thus also deny a request of a requester they trust
 * no longer, or one from before their enrolment, which does not open for them and is named as the doorbell names it.
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
      if (error.text !== "error.does-not-open") throw error;
      return answer.payload_sha256;
    },
  );
  await signAndSubmit("denial", synced.device, { request }, keys.approval);
  await syncDevice();
}

/**
 * @param {string} kind
 * @param {object} matter
 * @param {Unlocked} keys
 */
export async function decide(kind, matter, keys) {
  const synced = await syncDevice();
  const answer = await signAndSubmit(kind, synced.device, matter, keys.approval);
  await syncDevice();
  return answer;
}

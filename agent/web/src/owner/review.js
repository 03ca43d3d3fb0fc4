// A footage request as its owner sees it, and its outcome. This browser checks it independently of the doorbell that
// shows it (agent/clients/owner/review.py).
import { OpenError, PageError, RefusedError } from "../errors.js";
import { ask, fetchOp } from "../link.js";
import { open as openSealed } from "../wire/age.js";
import { sha256hex, unbase64, utf8 } from "../wire/bytes.js";
import { open, payloadType, readUnverified, verify } from "../wire/envelope.js";
import {
  absences,
  footageRequest,
  approval as isApproval,
  bulletin as isBulletin,
  deletion as isDeletion,
  receipt as isReceipt,
  STATEMENT_LIMIT,
} from "../wire/messages.js";
import { openStatement, signersOf } from "../wire/mldsa.js";
import {
  eventOf,
  filmLengthMs,
  isCut,
  labelOf,
  openCaptured,
  openPoster,
  openSound,
  posterOf,
  recordOf,
  soundOf,
  spanOf,
} from "../wire/segment.js";
import { decode } from "../wire/strictjson.js";
import { claimedRoot, isOverLimit, lateLimit, TrustStore } from "../wire/trust.js";
import { parseTrustKey } from "../wire/trust_keys.js";
import { rememberBundles } from "./known.js";
import { syncDevice } from "./sync.js";

/** @import { LiveOpener } from "../wire/live.js" */
/** @import { Answer, Bytes, CaptureRecord, SyncedDevice, Offered, PublicKey, Reviewed } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
/** @import { Checker } from "../wire/schema.js" */
/**
 * Roots and bundles this browser vouches for; `unconfirmed` are roots only the doorbell names.
 *
 * @param {SyncedDevice} synced
 */
export async function trusted(synced) {
  const answer = await ask("trust");
  const chosen = await Promise.all(synced.known.roots.map(parseTrustKey));
  const found = new TrustStore(new Map(chosen.map((key) => [key.id, key])), synced.known.bundles, answer.cell);
  const agreed = new Map(answer.bundles.map(utf8).map((bytes) => [claimedRoot(bytes), bytes]));
  const heard = new Map(answer.heard.map(utf8).map((bytes) => [claimedRoot(bytes), bytes]));
  const shown = await Promise.all(answer.roots.map(parseTrustKey));
  // A forger of Ed25519 can give a root another second key, and its id stays. So pairs are compared, not ids.
  const unconfirmed = shown.filter((root) => found.roots.get(root.id)?.text !== root.text);
  for (const root of found.roots.keys())
    if (!unconfirmed.some((other) => other.id === root))
      await found.acceptShown(agreed.get(root), heard.get(root), answer.agreed_in?.[root]);
  await rememberBundles(synced.device.id, found.newest);
  return { store: found, unconfirmed, shown, heard };
}

/**
 * The doorbell keeps requesters' messages sealed to the owners. The browser opens and verifies them again.
 *
 * @param {string} text
 * @param {string} identity
 */
const unsealed = (text, identity) => openSealed(unbase64(text), identity);

/**
 * A request's summary for the list: opened once, here. It is verified only on the request's own page.
 *
 * @param {string} id
 * @param {string} identity
 */
export async function asked(id, identity) {
  const { result, body } = await fetchOp("asked", { id });
  const { request } = await payloadIn(await openSealed(body, identity), result.payload_sha256, id);
  return { kind: request.kind, incident: request.incident, from: request.from, to: request.to };
}

/**
 * @param {Answer} answer
 * @param {string} id
 * @param {string} identity
 */
export const payloadOf = async (answer, id, identity) =>
  payloadIn(await unsealed(answer.sealed, identity), answer.payload_sha256, id);

/**
 * @param {Bytes} envelope
 * @param {string} expected
 * @param {string} id
 */
async function payloadIn(envelope, expected, id) {
  const claimed = readUnverified(envelope);
  if (claimed.type !== payloadType("footage-request")) throw new OpenError("error.other-request");
  const request = footageRequest(decode(claimed.payload));
  const sha256 = await sha256hex(claimed.payload);
  // The id is what the owner tapped. A doorbell could show another request of the same requester in its place.
  if ((request.id !== id && sha256 !== id) || expected !== sha256) throw new OpenError("error.other-request");
  return { claimed, request, sha256 };
}

/**
 * The request that an approval names by its hash, also if its requester has lost trust.
 *
 * @param {string} id
 * @param {string} approved
 * @param {string} identity
 */
export async function approvedRequest(id, approved, identity) {
  const { result } = await fetchOp("request", { id });
  const { request, sha256 } = await payloadOf(result, id, identity);
  if (sha256 !== approved) throw new OpenError("error.other-request");
  return request;
}

/** @param {Wire.FootageRequest} request */
export const promiseIn = (request) => ({
  retentionDays: request.retention_days,
  onward: request.onward,
  language: request.language,
});

/**
 * @param {string} id
 * @param {string} identity
 * @returns {Promise<Reviewed>}
 */
export async function review(id, identity) {
  const synced = await syncDevice();
  const { result: answer, body } = await fetchOp("request", { id });
  const { claimed, request, sha256 } = await payloadOf(answer, id, identity);
  const trust = await trusted(synced);
  const requester = await trust.store.resolve(
    request.trust_root,
    request.requester,
    claimed.keyId,
    Math.floor(Date.now() / 1000),
  );
  if (!requester) {
    const isUnconfirmed = trust.unconfirmed.some((root) => root.id === request.trust_root);
    throw new OpenError(isUnconfirmed ? "error.unconfirmed-root" : "error.nobody-trusted");
  }
  await verify(claimed, new Map([[requester.key.id, requester.key]]));
  if (lateLimit(request, requester, Math.floor(Date.now() / 1000))) throw new OpenError("error.over-time-limit");
  if (isOverLimit(request, requester)) throw new OpenError("error.over-limit");
  const lines = body.length ? new TextDecoder().decode(body).split("\n").filter(Boolean) : (answer.records ?? []);
  const segments = await segmentsOf(answer.segments ?? [], lines, request, synced.device);
  /** @type {Reviewed} */
  const found = {
    name: id,
    synced,
    request,
    sha256,
    requester,
    namesake: hasNamesake(trust.store, requester.name, request.trust_root),
    state: answer.state,
    disclosure: answer.disclosure ?? null,
    segments,
    first: null,
    receipt: null,
    deletion: null,
    position: null,
  };
  found.first = answer.first ? await firstApproval(found, answer.first) : null;
  found.receipt = await said(found, answer.receipt ?? undefined, identity, "receipt", isReceipt);
  found.position = positionIn((await ask("place")).position);
  found.deletion = await said(found, answer.deletion ?? undefined, identity, "deletion", isDeletion);
  return found;
}

/**
 * Whether another root lists a requester with this name. Names are unique only in the list of one root.
 *
 * @param {TrustStore} store
 * @param {string} name
 * @param {string} root
 */
const hasNamesake = (store, name, root) =>
  [...store.bundles].some(
    ([other, { requesters }]) =>
      other !== root && requesters.some((each) => each.name.toLowerCase() === name.toLowerCase()),
  );

/**
 * The doorbell's claim about its position. For display only; no decision uses it.
 *
 * @param {any} position
 */
function positionIn(position) {
  const [lat, lon] = [position?.lat, position?.lon];
  if (![lat, lon].every(Number.isFinite)) return null;
  return Math.abs(lat) <= 90 && Math.abs(lon) <= 180 ? { lat, lon } : null;
}

/**
 * Another owner's approval that waits for a second one. The co-approval covers exactly its content, which is checked
 * against the records again.
 *
 * @param {Reviewed} found
 * @param {string} envelope
 */
async function firstApproval(found, envelope) {
  const { enrolment } = found.synced;
  const owners = await signersOf(enrolment);
  const claimed = await openStatement(utf8(envelope), payloadType("approval"), owners);
  const yes = isApproval(decode(claimed.payload, STATEMENT_LIMIT));
  const records = new Map(found.segments.map((each) => [each.id, each.record]));
  const chosen = [yes.segments, yes.posters ?? [], yes.sounds ?? []].flat();
  /** @param {(record: CaptureRecord) => Wire.SealedFile | undefined} fileOf */
  const agrees = (fileOf) => (/** @type {Wire.SealedItem} */ item) => {
    const record = records.get(item.id);
    // A file without a record was deleted since, which `isGone` below says.
    return !record || fileOf(record)?.sha256_payload === item.payload_sha256;
  };
  const isThis =
    yes.request === found.sha256 &&
    yes.reply === found.request.reply &&
    yes.device === found.synced.device.text &&
    yes.segments.every(agrees((record) => record.file)) &&
    (yes.posters ?? []).every(agrees(posterOf)) &&
    (yes.sounds ?? []).every(agrees(soundOf));
  if (!isThis) throw new OpenError("error.other-approval");
  const by = owners.get(claimed.keyId)?.name ?? "";
  // An owner may delete footage that another owner has chosen. The first approval can then no longer be co-approved.
  return { yes, sha256: await sha256hex(claimed.payload), by, isGone: chosen.some((item) => !records.has(item.id)) };
}

/**
 * A message of this requester about this request, as they signed it; null if none verifies.
 *
 * @template {{ request?: string, requester: string }} T
 * @param {Reviewed} found
 * @param {string | undefined} sealed
 * @param {string} identity
 * @param {string} kind
 * @param {Checker<T>} check
 * @returns {Promise<T | null>}
 */
async function said(found, sealed, identity, kind, check) {
  if (!sealed) return null;
  try {
    const { payload } = await open(
      await unsealed(sealed, identity),
      payloadType(kind),
      new Map([[found.requester.key.id, found.requester.key]]),
    );
    const message = check(decode(payload));
    return message.request === found.request.id && message.requester === found.requester.id ? message : null;
  } catch {
    return null;
  }
}

/**
 * The doorbell's account of the gaps in the requested window, for an owner who wants to share it too.
 *
 * @param {Reviewed} found
 */
export async function gapsOf(found) {
  const gaps = absences((await ask("gaps", { id: found.name })).gaps, "gaps");
  const [from, to] = [found.request.from * 1000, found.request.to * 1000];
  if (gaps.some((gap) => gap.from_ms < from || gap.to_ms > to)) throw new OpenError("error.outside-window");
  return gaps;
}

/**
 * Safety messages by those this owner trusts, newest first. Messages that fail verification are left out.
 *
 * @param {string} identity
 */
export async function bulletins(identity) {
  const trust = await trusted(await syncDevice());
  const found = [];
  for (const sealed of (await ask("bulletins")).bulletins) {
    try {
      const claimed = readUnverified(await unsealed(sealed, identity));
      const message = isBulletin(decode(claimed.payload));
      const requester = await trust.store.resolve(
        message.trust_root,
        message.requester,
        claimed.keyId,
        Math.floor(Date.now() / 1000),
      );
      if (!requester || claimed.type !== payloadType("bulletin")) continue;
      await verify(claimed, new Map([[requester.key.id, requester.key]]));
      found.push({
        id: message.id,
        who: requester.name,
        kind: requester.kind,
        title: message.title,
        description: message.description,
        language: message.language,
        until: message.not_after,
      });
    } catch {}
  }
  return found;
}

/**
 * @param {string[]} names
 * @param {string[]} lines
 * @param {Wire.FootageRequest} request
 * @param {PublicKey} device
 * @returns {Promise<Offered[]>}
 */
async function segmentsOf(names, lines, request, device) {
  if (names.length !== lines.length || new Set(names).size !== names.length) throw new OpenError("error.other-record");
  const found = [];
  for (const [i, name] of names.entries()) {
    const record = await recordOf(lines[i], name, device);
    const span = spanOf(record);
    if (span.start >= request.to * 1000 || span.end <= request.from * 1000) throw new OpenError("error.outside-window");
    found.push({ number: i + 1, record, id: name, span });
  }
  return found;
}

/**
 * The clips of segments in order: those of one event, the segment that has its still, and its kind.
 *
 * @param {Offered[]} segments
 */
export function clipsOf(segments) {
  /** @type {Map<string, { event: string, segments: Offered[], poster: string | null, kind: string }>} */
  const clips = new Map();
  for (const each of segments) {
    const event = eventOf(each.record);
    const clip = clips.get(event) ?? { event, segments: [], poster: null, kind: labelOf(each.record) };
    clips.set(event, clip);
    clip.kind = stronger(clip.kind, labelOf(each.record));
    clip.segments.push(each);
    if (!clip.poster && posterOf(each.record)) clip.poster = each.id;
  }
  return [...clips.values()];
}

/** @param {Offered} segment */
const moment = ({ id, number, record, span }) => ({
  id,
  number,
  start: span.start,
  end: span.end,
  lengthMs: filmLengthMs(record),
  cut: isCut(record),
  sound: soundOf(record) !== undefined,
});

/**
 * Plain values of a review for the page.
 *
 * @param {Reviewed} found
 */
export function shown(found) {
  const { request, requester, segments } = found;
  return {
    id: found.name,
    state: found.state,
    disclosure: found.disclosure,
    case: request.case,
    incident: request.incident,
    kind: request.kind,
    description: request.description,
    from: request.from,
    to: request.to,
    notAfter: request.not_after,
    area: request.area,
    contact: request.contact,
    ...promiseIn(request),
    requester: requester.name,
    requesterId: requester.id,
    trustRoot: request.trust_root,
    namesake: found.namesake,
    certain: segments.every((each) => each.span.quality !== "unknown"),
    expired: Date.now() / 1000 > request.not_after,
    clips: clipsOf(segments).map(({ segments: own, ...clip }) => ({ ...clip, segments: own.map(moment) })),
    needsTwo: (found.synced.enrolment.approvals_needed ?? 1) > 1,
    first: found.first && {
      by: found.first.by,
      isGone: found.first.isGone,
      segments: found.first.yes.segments.map((each) => each.id),
      posters: (found.first.yes.posters ?? []).map((each) => each.id),
      clips: found.first.yes.clips?.length ?? 0,
      sounds: found.first.yes.sounds?.length ?? 0,
      contact: found.first.yes.contact !== undefined,
      gaps: found.first.yes.gaps?.length ?? 0,
    },
    receipt: found.receipt && {
      state: found.receipt.state,
      at: found.receipt.time_s ?? null,
      days: found.receipt.retention_days ?? null,
      unopened: filesIn(found.receipt.unopened),
    },
    deleted: found.deletion?.deleted_s ?? null,
    position: found.position,
  };
}

/** @param {[number, number][]} [ranges] */
const filesIn = (ranges) => (ranges ?? []).reduce((sum, [first, last]) => sum + last - first + 1, 0);
const STRENGTH = ["motion", "pir", "button"];
/**
 * @param {string} a
 * @param {string} b
 */
const stronger = (a, b) => (STRENGTH.indexOf(b) > STRENGTH.indexOf(a) ? b : a);

/**
 * A stored file and its signed record.
 *
 * @param {"segment" | "poster" | "sound"} op
 * @param {string} id
 */
async function stored(op, id) {
  try {
    return await fetchOp(op, { id });
  } catch (error) {
    throw error instanceof RefusedError && error.status === 400 ? new PageError("error.gone") : error;
  }
}

/**
 * @param {string} id
 * @param {PublicKey} device
 * @param {string} identity
 * @param {CaptureRecord} [signed]
 */
export async function fetchSegment(id, device, identity, signed) {
  const { result, body } = await stored("segment", id);
  const record = signed ?? (await recordOf(result.record, id, device));
  return { record, data: body, ...(await openCaptured(record, body, identity, device.id)) };
}

/**
 * Parts of live view after number `after`: `{number, gops, watching, small}`. `watching`: who else does. `small`: the
 * pictures are small, because the link is slow.
 *
 * @param {number} after
 * @param {boolean} small the last answer had small pictures
 * @param {LiveOpener} opener
 */
export async function fetchLive(after, small, opener) {
  const { result, body } = await fetchOp("live", { after, small });
  const gops = [];
  let at = 0;
  for (const size of result.sizes) {
    const gop = await opener.open(body.subarray(at, at + size));
    at += size;
    if (gop) gops.push(gop);
  }
  const number = Math.max(after, ...result.numbers);
  return { number, gops, watching: result.watching ?? [], small: result.small === true };
}

/**
 * @param {string} id
 * @param {PublicKey} device
 * @param {string} identity
 * @param {CaptureRecord} [signed]
 */
export async function fetchSound(id, device, identity, signed) {
  const { result, body } = await stored("sound", id);
  const record = signed ?? (await recordOf(result.record, id, device));
  return { record, data: body, sound: await openSound(record, body, identity, device.id) };
}

/**
 * @param {string} id
 * @param {PublicKey} device
 * @param {string} identity
 * @param {CaptureRecord} [signed]
 */
export async function fetchPoster(id, device, identity, signed) {
  const { result, body } = await stored("poster", id);
  const record = signed ?? (await recordOf(result.record, id, device));
  return { record, data: body, ...(await openPoster(record, body, identity, device.id)) };
}

export const spanOfRecord = spanOf;

// A footage request as its owner sees it, checked by this browser and not by the doorbell that shows it
// (agent/owner/reviewing.py), and everything an owner can decide about it (agent/owner/deciding.py).
import { OpenError, PageError } from "../errors.js";
import { ask, fetchOp } from "../link.js";
import { rewrap, sealTo, split } from "../wire/age.js";
import { base64, sha256hex, utf8 } from "../wire/bytes.js";
import { payloadType, readUnverified, verify } from "../wire/envelope.js";
import { parseKey } from "../wire/keys.js";
import { footageRequest } from "../wire/messages.js";
import { eventOf, isShareable, labelOf, openCaptured, openPoster, posterOf, recordOf, spanOf } from "../wire/segment.js";
import { decode, encode } from "../wire/strictjson.js";
import { isOverLimit, TrustStore } from "../wire/trust.js";
import { meet } from "./meeting.js";
import { state } from "./stating.js";
import * as store from "./store.js";

/** Roots and bundles this browser vouches for; `unconfirmed` are roots only the doorbell names. */
export async function trusted(met) {
  const answer = await ask("trust");
  const chosen = await Promise.all(met.known.roots.map(parseKey));
  const found = new TrustStore(new Map(chosen.map((key) => [key.id, key])), met.known.bundles);
  for (const bundle of answer.bundles) {
    const bytes = utf8(bundle);
    if (found.roots.has(readUnverified(bytes, 3 << 19).keyId)) await found.accept(bytes);
  }
  await store.remember(met.device.id, { ...(await store.memory(met.device.id)), bundles: found.newest });
  const shown = await Promise.all(answer.roots.map(parseKey));
  return { store: found, unconfirmed: shown.filter((root) => !found.roots.has(root.id)), shown };
}

async function payloadOf(answer, id) {
  const claimed = readUnverified(utf8(answer.envelope));
  if (claimed.type !== payloadType("footage-request")) throw new OpenError("error.other-request");
  const request = footageRequest(decode(claimed.payload));
  const sha256 = await sha256hex(claimed.payload);
  if (request.id !== id || answer.payload_sha256 !== sha256) throw new OpenError("error.other-request");
  return { claimed, request, sha256 };
}

export async function review(id) {
  const met = await meet();
  const { result: answer, body } = await fetchOp("request", { id });
  const { claimed, request, sha256 } = await payloadOf(answer, id);
  const trust = await trusted(met);
  const requester = await trust.store.resolve(request.audience, request.requester, claimed.keyId, Math.floor(Date.now() / 1000));
  if (!requester) {
    const isUnconfirmed = trust.unconfirmed.some((root) => root.id === request.audience);
    throw new OpenError(isUnconfirmed ? "error.unconfirmed-root" : "error.nobody-trusted");
  }
  await verify(claimed, new Map([[requester.key.id, requester.key]]));
  if (isOverLimit(request, requester)) throw new OpenError("error.over-limit");
  const lines = body.length ? new TextDecoder().decode(body).split("\n").filter(Boolean) : answer.records;
  const segments = await segmentsOf(answer.segments, lines, request, met.device);
  return { met, request, sha256, requester, state: answer.state, disclosure: answer.disclosure ?? null, segments };
}

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

/** What the page shows of a review: plain values only. */
export function shown(found) {
  const { request, requester, segments } = found;
  const clips = new Map();
  for (const each of segments) {
    const event = eventOf(each.record);
    if (!clips.has(event)) clips.set(event, { event, segments: [], poster: null, kind: labelOf(each.record) });
    const clip = clips.get(event);
    clip.kind = stronger(clip.kind, labelOf(each.record));
    clip.segments.push({
      id: each.id, number: each.number, start: each.span.start, end: each.span.end, shareable: isShareable(each.record),
    });
    if (!clip.poster && posterOf(each.record)) clip.poster = each.id;
  }
  return {
    id: request.id, state: found.state, disclosure: found.disclosure, case: request.case, incident: request.incident,
    kind: request.kind, description: request.description, from: request.from, to: request.to, notAfter: request.not_after,
    area: request.area, contact: request.contact, requester: requester.name, requesterId: requester.id,
    certain: segments.every((each) => each.span.quality !== "unknown"),
    expired: Date.now() / 1000 > request.not_after, clips: [...clips.values()],
  };
}

const STRENGTH = ["motion", "pir", "button"];
const stronger = (a, b) => (STRENGTH.indexOf(b) > STRENGTH.indexOf(a) ? b : a);

export async function fetchSegment(id, device, identity, signed) {
  const { result, body } = await fetchOp("segment", { id });
  const record = signed ?? (await recordOf(result.record, id, device));
  return { record, data: body, ...(await openCaptured(record, body, identity, device.id)) };
}

export async function fetchPoster(id, device, identity, signed) {
  const { result, body } = await fetchOp("poster", { id });
  const record = signed ?? (await recordOf(result.record, id, device));
  return { record, data: body, image: await openPoster(record, body, identity) };
}

/** Share exactly these segments and stills of the reviewed request; the id of the disclosure. */
export async function approve(found, keys, { segments, posters, contact }) {
  if (!segments.length && !posters.length) throw new PageError("error.nothing-chosen");
  if (Date.now() / 1000 > found.request.not_after) throw new PageError("error.over");
  const met = await meet();
  if (met.device.id !== found.met.device.id) throw new OpenError("error.unknown-doorbell");
  const byId = new Map(found.segments.map((each) => [each.id, each]));
  const headers = [];
  const items = async (ids, fetchOne, fileOf) => {
    const made = [];
    for (const id of ids) {
      const each = byId.get(id);
      if (!each || !isShareable(each.record)) throw new PageError("error.cannot-share");
      const { data } = await fetchOne(id, met.device, keys.identity, each.record);
      const header = await rewrap(data.subarray(0, split(data)), keys.identity, found.request.reply);
      headers.push(header);
      made.push({ id, payload_sha256: fileOf(each.record).sha256_payload, header_sha256: await sha256hex(header) });
    }
    return made;
  };
  const inOrder = (ids) => found.segments.map((each) => each.id).filter((id) => ids.includes(id));
  const segmentItems = await items(inOrder(segments), fetchSegment, (record) => record.file);
  const posterItems = await items(inOrder(posters), fetchPoster, posterOf);
  const matter = {
    request: found.sha256,
    reply: found.request.reply,
    segments: segmentItems,
    posters: posterItems.length ? posterItems : undefined,
    contact: contact && base64(await sealTo(encode({ v: 1, ...contact }), found.request.reply)),
  };
  const answer = await state("approval", met.device, matter, keys.approval, headers);
  await meet();
  return answer.disclosure;
}

/** Say no.  Nothing but the request's identity is checked: one from a requester no longer trusted can be denied too. */
export async function deny(id, keys) {
  const met = await meet();
  const { sha256 } = await payloadOf(await ask("request", { id }), id);
  await state("refusal", met.device, { request: sha256 }, keys.approval);
  await meet();
}

export async function decide(kind, matter, keys) {
  const met = await meet();
  const answer = await state(kind, met.device, matter, keys.approval);
  await meet();
  return answer;
}


export const spanOfRecord = spanOf;
export const rawSegment = (id) => fetchOp("segment", { id });

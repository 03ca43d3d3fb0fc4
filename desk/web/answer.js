// The answer of a doorbell to a neighbour's request, verified and opened in the neighbour's browser.
// The rules are those of agent/wire/PROTOCOL.md, "Verification", as agent/core/disclosure/reading.py has them.

import { FormatError, OpenError } from "../../agent/web/src/errors.js";
import { fileKey, keyCommitment, open as openAge, openPrefix, split } from "../../agent/web/src/wire/age.js";
import { equal, sha256hex, unbase64, unhex, utf8 } from "../../agent/web/src/wire/bytes.js";
import { open as openEnvelope, payloadType } from "../../agent/web/src/wire/envelope.js";
import { parseKey } from "../../agent/web/src/wire/keys.js";
import { leafHash, nodeHash, openCheckpoint } from "../../agent/web/src/wire/ledger.js";
import {
  contactCard,
  approval as isApproval,
  coApproval as isCoApproval,
  enrolment as isEnrolment,
  footageRequest as isRequest,
  ledgerEntry,
  STATEMENT_LIMIT,
} from "../../agent/web/src/wire/messages.js";
import { openStatement, readHybrid, readStatement, requireBoth, signersOf } from "../../agent/web/src/wire/mldsa.js";
import {
  anyText,
  count,
  hexId,
  keyText,
  list,
  mldsaText,
  object,
  one,
  sha256Text,
} from "../../agent/web/src/wire/schema.js";
import {
  CONTEXT_BOX,
  idOf,
  openCaptured,
  openPoster,
  openRecord,
  openSound,
  posterOf,
  soundOf,
  spanOf,
  splitTrailing,
  wholeFragments,
} from "../../agent/web/src/wire/segment.js";
import { decode } from "../../agent/web/src/wire/strictjson.js";

/** @import { Bytes, CaptureRecord, PublicKey, Signer } from "../../agent/web/src/types.js" */
/** @typedef {{ payload_sha256: string, key: string }} RedactedFile */
/** @typedef {{ payload_sha256: string, header_sha256: string, redacted?: RedactedFile }} Approved */
/**
 * @typedef {object} Item
 * @property {"segment" | "poster" | "sound"} kind
 * @property {number} part
 * @property {{ size_bytes: number, sha256: string }} sent as the doorbell announced it
 * @property {Approved} approved as the owner signed it
 * @property {CaptureRecord} record as the doorbell signed it at capture
 * @property {string} device
 */

const MANIFEST_LIMIT = 48 * 1024 * 1024;
const MANIFEST_ENVELOPE_LIMIT = 64 * 1024 * 1024 + 1024;
const REQUEST_LIMIT = 8192;
const APPROVED_AS = /** @type {const} */ ({ segment: "segments", poster: "posters", sound: "sounds" });
const MS = 1000;

const part = object({ kind: one("segment", "poster", "sound"), id: anyText, size_bytes: count, sha256: sha256Text });
const isManifest = object(
  {
    v: one(1),
    disclosure: hexId,
    device: keyText,
    device_mldsa: mldsaText,
    request: sha256Text,
    approval: anyText,
    enrolments: list(anyText, 1, 256),
    records: list(anyText, 0, 20_000),
    second_signatures: list(one("covered", "none"), 0, 20_000),
    parts: list(part, 0, 30_000),
    ledger: object({ checkpoint: anyText, entry: anyText, index: count, path: list(sha256Text, 0, 64) }),
  },
  // A confirmation of time is not shown here, so it stays unread.
  { co_approval: anyText, clips: list((value) => value, 0, 4096), time: (/** @type {unknown} */ value) => value },
);

/** @param {string} what */
const differs = (what) => new FormatError("error.format", { what });

/**
 * The request as the desk published it. `envelope` is signed by `key`; the caller compares its words.
 *
 * @param {string} envelope
 * @param {string} key
 */
export async function readRequest(envelope, key) {
  const signer = await parseKey(key);
  const claimed = await openEnvelope(utf8(envelope), payloadType("footage-request"), new Map([[signer.id, signer]]));
  return { value: isRequest(decode(claimed.payload, REQUEST_LIMIT)), sha256: await sha256hex(claimed.payload) };
}

/**
 * Part 0 of an answer, after every signature and cross-reference in it has been verified.
 *
 * @param {Bytes} data part 0
 * @param {Awaited<ReturnType<typeof readRequest>>} request
 * @param {string} identity
 * @param {{ id: string, device: string }} named by the desk
 */
export async function readAnswer(data, request, identity, named) {
  const opened = await openAge(data, identity);
  const claimed = readHybrid(opened, payloadType("disclosure-manifest"), MANIFEST_ENVELOPE_LIMIT);
  const manifest = isManifest(decode(claimed.payload, MANIFEST_LIMIT));
  const device = await parseKey(manifest.device);
  const second = await requireBoth(claimed, device, unbase64(manifest.device_mldsa));
  // The desk names the answer and its door, and what the doorbell signed must agree.
  if (manifest.disclosure !== named.id || device.id !== named.device) throw differs("disclosure");
  if (manifest.request !== request.sha256) throw differs("request");
  const owners = await ownersOf(manifest.enrolments, manifest.device, second);
  const approval = await approvedBy(manifest, owners, request);
  await requireLedgered(manifest, device, request.value, approval.sha256);
  const items = await itemsOf(manifest, approval.value, device, request.value);
  const told = (approval.value.clips ?? []).map(({ from_ms: from, to_ms: to }) => ({ from, to }));
  const sealed = approval.value.contact;
  const contact = sealed ? contactCard(decode(await openAge(unbase64(sealed), identity))) : undefined;
  return { items, told, contact, device: device.id };
}

/**
 * The owners in force: each list is signed by an owner of the one before, the first by an owner that it names.
 *
 * @param {string[]} envelopes
 * @param {string} device
 * @param {string} second hash of the device's ML-DSA-44 key
 */
async function ownersOf(envelopes, device, second) {
  /** @type {Map<string, Signer> | undefined} */
  let signers;
  /** @type {string | undefined} */
  let before;
  let needed = 1;
  for (const [index, envelope] of envelopes.entries()) {
    const claimed = readStatement(utf8(envelope));
    const value = isEnrolment(decode(claimed.payload, STATEMENT_LIMIT));
    const own = await signersOf(value);
    await openStatement(utf8(envelope), payloadType("enrolment"), signers ?? own);
    if (value.device_mldsa !== second) throw differs("device_mldsa");
    if (value.device !== device || value.epoch !== index + 1 || value.previous !== before) throw differs("enrolments");
    signers = own;
    before = await sha256hex(claimed.payload);
    needed = value.approvals_needed ?? 1;
  }
  return { keys: signers ?? new Map(), needed };
}

/**
 * @param {ReturnType<typeof isManifest>} manifest
 * @param {Awaited<ReturnType<typeof ownersOf>>} owners
 * @param {Awaited<ReturnType<typeof readRequest>>} request
 */
async function approvedBy(manifest, owners, request) {
  const claimed = await openStatement(utf8(manifest.approval), payloadType("approval"), owners.keys);
  const value = isApproval(decode(claimed.payload, STATEMENT_LIMIT));
  const sha256 = await sha256hex(claimed.payload);
  const inTime = value.owner_time_ms < (request.value.not_after + 1) * MS;
  const isThis = value.device === manifest.device && value.request === request.sha256;
  if (!isThis || value.reply !== request.value.reply || !inTime) throw differs("approval");
  // A second approval that is there is verified, even where one is enough.
  if (owners.needed > 1 || manifest.co_approval) {
    const second = await openStatement(utf8(manifest.co_approval ?? ""), payloadType("co-approval"), owners.keys);
    const yes = isCoApproval(decode(second.payload, STATEMENT_LIMIT));
    const agrees = yes.device === manifest.device && yes.request === request.sha256 && yes.approval === sha256;
    const late = yes.owner_time_ms >= (request.value.not_after + 1) * MS;
    // One person may not be both.
    if (!agrees || late || second.keyId === claimed.keyId) throw differs("co_approval");
  }
  return { value, sha256 };
}

/**
 * @param {ReturnType<typeof isManifest>} manifest
 * @param {PublicKey} device
 * @param {{ id: string, requester: string }} request
 * @param {string} approval hash
 */
async function requireLedgered({ ledger, disclosure, device_mldsa }, device, request, approval) {
  const { size, root } = await openCheckpoint(ledger.checkpoint, device, unbase64(device_mldsa));
  const leaf = await leafHash(utf8(ledger.entry));
  if (!(await isIncluded(leaf, ledger.index, size, root, ledger.path.map(unhex)))) throw differs("ledger");
  const entry = ledgerEntry(decode(utf8(ledger.entry)));
  const isThis =
    entry.kind === "approved" &&
    entry.request === request.id &&
    entry.requester === request.requester &&
    entry.disclosure === disclosure &&
    entry.subject === approval;
  if (!isThis) throw differs("ledger");
}

/**
 * RFC 9162, section 2.1.3.2.
 *
 * @param {Uint8Array} leaf
 * @param {number} index
 * @param {number} size
 * @param {Uint8Array} root
 * @param {Uint8Array[]} path
 */
async function isIncluded(leaf, index, size, root, path) {
  if (index >= size) return false;
  let [position, last, node] = [index, size - 1, leaf];
  const half = (/** @type {number} */ number) => Math.floor(number / 2);
  for (const sibling of path) {
    if (last === 0) return false;
    // A lone node at the right edge goes up without a sibling until it has one on its left.
    if (position % 2 || position === last) {
      node = await nodeHash(sibling, node);
      while (position % 2 === 0 && position) [position, last] = [half(position), half(last)];
    } else {
      node = await nodeHash(node, sibling);
    }
    [position, last] = [half(position), half(last)];
  }
  return last === 0 && equal(node, root);
}

/**
 * The parts, each with the three statements about it: the owner's, the doorbell's at capture, and the list of parts.
 *
 * @param {ReturnType<typeof isManifest>} manifest
 * @param {ReturnType<typeof isApproval>} approval
 * @param {PublicKey} device
 * @param {{ from: number, to: number }} window
 * @returns {Promise<Item[]>}
 */
async function itemsOf(manifest, approval, device, window) {
  if (manifest.second_signatures.length !== manifest.records.length) throw differs("second_signatures");
  const records = new Map();
  for (const line of manifest.records) {
    const record = await openRecord(line, device);
    records.set(idOf(record), record);
  }
  const approved = Object.values(APPROVED_AS).reduce((sum, name) => sum + (approval[name]?.length ?? 0), 0);
  // Each approved file once, and no other: the doorbell may neither leave one out nor show one twice.
  const named = new Set(manifest.parts.map((each) => `${each.kind} ${each.id}`));
  if (approved !== manifest.parts.length || named.size !== manifest.parts.length) throw differs("parts");
  return manifest.parts.map(({ kind, id, size_bytes, sha256 }, index) => {
    const yes = (approval[APPROVED_AS[kind]] ?? []).find((each) => each.id === id);
    const record = records.get(id);
    if (!yes || !record) throw differs("parts");
    const file = fileOf(record, kind);
    if (file?.sha256_payload !== yes.payload_sha256) throw differs("records");
    const { start, end } = spanOf(record);
    // A file of another hour would be footage that the request does not cover.
    if (end <= window.from * MS || start >= window.to * MS) throw differs("window");
    return { kind, part: index + 1, sent: { size_bytes, sha256 }, approved: yes, record, device: device.id };
  });
}

/**
 * @param {CaptureRecord} record
 * @param {Item["kind"]} kind
 */
function fileOf(record, kind) {
  if (kind === "segment") return record.file;
  return kind === "poster" ? posterOf(record) : soundOf(record);
}

/**
 * The film, sound or picture in a part. Throws if a byte of it is not what doorbell and owner signed.
 *
 * @param {Item} item
 * @param {Bytes} data
 * @param {string} identity
 * @returns {Promise<{ media: Bytes, redacted: boolean }>}
 */
export async function openItem(item, data, identity) {
  const { approved, record } = item;
  const headerSize = split(data);
  const payload = approved.redacted?.payload_sha256 ?? approved.payload_sha256;
  const isSent = data.length === item.sent.size_bytes && (await sha256hex(data)) === item.sent.sha256;
  const isApprovedHeader = (await sha256hex(data.subarray(0, headerSize))) === approved.header_sha256;
  if (!isSent || !isApprovedHeader || (await sha256hex(data.subarray(headerSize))) !== payload)
    throw new OpenError("error.other-bytes");
  if (approved.redacted) return { media: await openRedacted(item, data, identity), redacted: true };
  if (record.kind === "recovered") return { media: await openRecovered(item, data, identity), redacted: false };
  // The captured header was sealed to the owners. The neighbour's file has the header that the owner made and signed.
  const header = { size: data.length, header_size: headerSize, sha256_header: approved.header_sha256 };
  if (item.kind === "segment") {
    const own = { ...record, file: { ...record.file, ...header } };
    return { media: (await openCaptured(own, data, identity, item.device)).media, redacted: false };
  }
  if (item.kind === "poster" && record.poster) {
    const own = { ...record, poster: { ...record.poster, file: { ...record.poster.file, ...header } } };
    return { media: (await openPoster(own, data, identity, item.device)).image, redacted: false };
  }
  if (item.kind === "sound" && record.sound) {
    const own = { ...record, sound: { ...record.sound, file: { ...record.sound.file, ...header } } };
    return { media: await openSound(own, data, identity, item.device), redacted: false };
  }
  throw differs("records");
}

/**
 * @param {Item} item
 * @param {Bytes} data
 * @param {string} identity
 */
async function openRedacted({ approved, record, device, kind }, data, identity) {
  const key = await fileKey(data.subarray(0, split(data)), identity);
  // ChaCha20-Poly1305 does not bind a key: one file could otherwise open to another film under a second key.
  if (keyCommitment(key) !== approved.redacted?.key) throw new OpenError("error.other-record");
  const { media, body } = splitTrailing(await openAge(data, identity), CONTEXT_BOX);
  const context = decode(body, REQUEST_LIMIT * 8);
  const isThis = context.device === device && context.segment === idOf(record) && context.kind === kind;
  if (!isThis || context.media_bytes !== media.length || !context.redactions?.length)
    throw new OpenError("error.other-record");
  return media;
}

/**
 * A file that the doorbell found after a power cut. It may lack its end.
 *
 * @param {Item} item
 * @param {Bytes} data
 * @param {string} identity
 */
async function openRecovered({ kind, record }, data, identity) {
  if (kind !== "segment") throw differs("records");
  // A torn file lacks the box that names its segment. The signed hash alone binds its bytes to the record.
  const { plain, whole } = await openPrefix(data, identity);
  if (!whole) return wholeFragments(plain);
  const { media, body } = splitTrailing(plain, CONTEXT_BOX);
  if (decode(body, REQUEST_LIMIT * 8).segment !== idOf(record)) throw new OpenError("error.other-record");
  return media;
}

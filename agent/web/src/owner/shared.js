// Which stills, film and sound left: what owners approved, verified in this browser
// (agent/clients/owner/shared_footage.py).
import { FormatError, OpenError } from "../errors.js";
import { ask, fetchOp, readFrame } from "../link.js";
import { open as openSealed } from "../wire/age.js";
import { fromUtf8, sha256hex, utf8 } from "../wire/bytes.js";
import { payloadType } from "../wire/envelope.js";
import { approval as isApproval, coApproval as isCoApproval, tip as isTip, STATEMENT_LIMIT } from "../wire/messages.js";
import { openStatement } from "../wire/mldsa.js";
import { idOf, openRecord, posterOf, soundOf, spanOf } from "../wire/segment.js";
import { decode } from "../wire/strictjson.js";
import { isOf, receivedAs } from "./entries.js";
import { ownersEver } from "./sync.js";

/** @import { Bytes, CaptureRecord, Entry, SyncedDevice, Owners, PublicKey, Shared } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
/** @typedef {{ value: any, sha256: string, keyId: string, by: string }} Signed a statement of an owner */

/** @param {Entry} entry */
const isApprovalEntry = (entry) => entry.kind === "approved" || entry.kind === "tip";

/**
 * `{by, second, items, unlisted, begun}` of a disclosure or tip. `ledger`: as `readLedger` gives it. `unlisted`: why
 * there are no items. Throws OpenError if the doorbell's answer contradicts the ledger or the signatures.
 *
 * @param {string} disclosure
 * @param {{ entries: Entry[] }} ledger
 * @param {SyncedDevice} synced
 * @param {string} identity
 */
export async function sharedOf(disclosure, ledger, synced, identity) {
  const { entries } = ledger;
  const yes = entries.find((entry) => isApprovalEntry(entry) && entry.disclosure === disclosure);
  if (!yes) throw new OpenError("error.other-shared");
  const begun = entries.find((entry) => entry.kind === "sending" && entry.disclosure === disclosure)?.utc_ms ?? null;
  const { result, body } = await fetchOp("shared", { disclosure });
  /** @param {string} why */
  const unlisted = (why) => ({
    by: yes.reason ?? "",
    second: null,
    items: null,
    unlisted: why,
    begun,
    request: undefined,
  });
  if (result.kept !== true) {
    // The newest is always kept.
    if (yes === entries.filter(isApprovalEntry).at(-1)) throw new OpenError("error.other-shared");
    return unlisted("dropped");
  }
  let opened;
  try {
    opened = await openSealed(body, identity);
  } catch (error) {
    if (error instanceof OpenError && error.text === "error.does-not-open") return unlisted("others");
    throw error;
  }
  const found = await verified(opened, yes, entries, synced);
  return { ...found, items: mergeItems(await fetchRecords(found.items)), unlisted: null, begun };
}

/**
 * The content of the sealed list, after ledger, owners and records agree.
 *
 * @param {Bytes} opened
 * @param {Entry} yes
 * @param {Entry[]} entries
 * @param {SyncedDevice} synced
 */
export async function verified(opened, yes, entries, synced) {
  const { head, body } = readFrame(opened);
  const owners = await ownersEver(synced.known);
  const kind = yes.kind === "tip" ? "tip" : "approval";
  const first = await signed(head.approval, kind, owners);
  // The ledger named the approval by its hash when it took effect. Another one of the same owner is not it.
  if (first.sha256 !== yes.subject) throw new OpenError("error.other-shared");
  /** @type {Partial<Wire.Tip> & Partial<Wire.Approval>} */
  const chosen = (kind === "tip" ? isTip : isApproval)(first.value);
  const isAsked = entries.some(
    (entry) => entry.kind === "received" && isOf(entry, yes) && entry.subject === chosen.request,
  );
  const isThis = chosen.device === synced.device.text && (kind === "tip" ? chosen.tip === yes.disclosure : isAsked);
  if (!isThis) throw new OpenError("error.other-shared");
  const isAwaited = entries.some((entry) => entry.kind === "first-approval" && entry.subject === first.sha256);
  const second = isAwaited || head.second ? await seconded(head.second, first, chosen.request, owners, synced) : null;
  const records = await recordsIn(body, synced.device);
  const items = [
    ...listed("still", chosen.posters ?? [], posterOf, records),
    ...listed("film", chosen.segments ?? [], (record) => record.file, records),
    ...listed("sound", chosen.sounds ?? [], soundOf, records),
  ].sort((a, b) => a.start - b.start);
  return { by: first.by, second, items, request: chosen.request };
}

/**
 * @param {string} text
 * @param {Signed} first
 * @param {string | undefined} request
 * @param {Owners} owners
 * @param {SyncedDevice} synced
 */
async function seconded(text, first, request, owners, synced) {
  const yes = await signed(text, "co-approval", owners);
  const { device, request: named, approval } = isCoApproval(yes.value);
  if (device !== synced.device.text || named !== request || approval !== first.sha256 || yes.keyId === first.keyId)
    throw new OpenError("error.other-shared");
  return yes.by;
}

/**
 * A statement, after checking that a present or past owner of this doorbell signed it.
 *
 * @param {unknown} text
 * @param {string} kind
 * @param {Owners} owners
 */
async function signed(text, kind, owners) {
  if (typeof text !== "string") throw new OpenError("error.other-shared");
  const claimed = await openStatement(utf8(text), payloadType(kind), owners).catch((error) => {
    throw error instanceof FormatError ? new OpenError("error.other-shared") : error;
  });
  const value = decode(claimed.payload, STATEMENT_LIMIT);
  return {
    value,
    sha256: await sha256hex(claimed.payload),
    keyId: claimed.keyId,
    by: owners.get(claimed.keyId)?.name ?? "",
  };
}

/**
 * @param {Bytes} body
 * @param {PublicKey} device
 */
async function recordsIn(body, device) {
  const lines = fromUtf8(body).split("\n").filter(Boolean);
  const records = await Promise.all(lines.map((line) => openRecord(line, device)));
  return new Map(records.map((record) => [idOf(record), record]));
}

/**
 * @param {string} kind
 * @param {Wire.SealedItem[]} items
 * @param {(record: CaptureRecord) => Wire.SealedFile | undefined} fileOf
 * @param {Map<string, CaptureRecord>} records
 */
function listed(kind, items, fileOf, records) {
  return items.map(({ id, payload_sha256: payload, redacted }) => {
    const record = records.get(id);
    if (!record || fileOf(record)?.sha256_payload !== payload) throw new OpenError("error.other-shared");
    const { start, end } = spanOf(record);
    return { kind, id, start, end, redacted: Boolean(redacted) };
  });
}

const NEAR_MS = 100;

/**
 * One entry for each continuous film or sound; stills one by one.
 *
 * @param {Shared[]} items
 */
export function mergeItems(items) {
  const found = [];
  const last = new Map();
  for (const each of items) {
    const before = last.get(each.kind);
    const isAlike = before?.stored === each.stored && before?.redacted === each.redacted;
    const goesOn = each.kind !== "still" && isAlike && each.start - before.end <= NEAR_MS;
    if (goesOn) before.end = Math.max(before.end, each.end);
    else last.set(each.kind, found[found.push({ ...each }) - 1]);
  }
  return found;
}

/**
 * Under which id a yes to a request was carried out; undefined before there was one.  `name`: what the doorbell calls
 * the request, which is its id, or the hash of its payload where another requester had used that id before.
 *
 * @param {Entry[]} entries
 * @param {string} name
 */
export function disclosureOf(entries, name) {
  const received = receivedAs(entries, name);
  return entries.find((entry) => entry.kind === "approved" && isOf(entry, received))?.disclosure;
}

/**
 * With what the doorbell says of which are still stored.
 *
 * @param {Shared[]} items
 */
async function fetchRecords(items) {
  if (!items.length) return items;
  const stored = new Set();
  const end = Math.max(...items.map((each) => each.end)) + 1;
  for (let from = items[0].start, more = true; more; ) {
    const { segments, more: isMore } = await ask("list", { from_ms: from, to_ms: end });
    const before = stored.size;
    for (const each of segments) stored.add(each.id);
    // A page without a new segment ends the list: a doorbell must not keep this browser asking.
    more = isMore && stored.size > before;
    from = segments.at(-1)?.start_ms ?? end;
  }
  return items.map((each) => ({ ...each, stored: stored.has(each.id) }));
}

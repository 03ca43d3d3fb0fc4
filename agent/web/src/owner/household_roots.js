// The trust roots that the owners of a doorbell chose, for a browser that was not there: a recovered or a second
// owner's (agent/clients/owner/household_roots.py). The doorbell hands out the owners' signed changes, and this browser
// verifies each of them.
import { OpenError } from "../errors.js";
import { ask, fetchOp } from "../link.js";
import { fromUtf8, sha256hex, utf8 } from "../wire/bytes.js";
import { payloadType } from "../wire/envelope.js";
import { STATEMENT_LIMIT, trustChange } from "../wire/messages.js";
import { openStatement, signersOf } from "../wire/mldsa.js";
import { decode } from "../wire/strictjson.js";
import { claimedRoot, TrustStore } from "../wire/trust.js";
import { parseTrustKey } from "../wire/trust_keys.js";
import { addRoots } from "./known.js";
import { readLedger } from "./ledger.js";
import { readEnrolment, syncDevice } from "./sync.js";

/** @import { ChosenRoot, Entry, FoundRoot, PublicKey } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
const CHANGE = payloadType("trust-change");

/**
 * Roots that the owners chose and that this browser does not know yet, with the requesters they vouch for. Throws
 * OpenError if a change was not signed by an owner of that time, or is not the ledger's.
 *
 * @returns {Promise<FoundRoot[]>}
 */
export async function householdRoots() {
  const synced = await syncDevice();
  const answer = await ask("trust");
  const { roots } = answer;
  if (roots.every((root) => synced.known.roots.includes(root))) return [];
  const { entries } = await readLedger();
  const { body } = await fetchOp("trust_changes");
  const shown = body.length ? fromUtf8(body).split("\n") : [];
  const chosen = await rootsChosen(shown, entries, synced.known.enrolments, synced.device);
  const found = rootsToTakeOver(chosen, await Promise.all(synced.known.roots.map(parseTrustKey)));
  const news = found.filter((each) => !each.isDisputed);
  const names = await requestersOf(news, answer, synced.known.bundles);
  return found.map((each) => ({ ...each, requesters: (!each.isDisputed && names.get(each.id)) || [] }));
}

/**
 * Those of the roots `chosen` in the household that are not `known`. One is disputed if another pair with its id was
 * chosen, too: a forger of Ed25519 can have the id, and one of both is false (roots_to_take_over of the Python module).
 *
 * @param {ChosenRoot[]} chosen
 * @param {{ id: string, text: string }[]} known
 */
export function rootsToTakeOver(chosen, known) {
  const pairs = [...known, ...chosen.map(({ id, key }) => ({ id, text: key }))];
  const ids = [...new Map(pairs.map(({ id, text }) => /** @type {const} */ ([text, id]))).values()];
  return chosen
    .filter(({ key }) => known.every(({ text }) => text !== key))
    .map((each) => ({ ...each, isDisputed: ids.filter((id) => id === each.id).length > 1 }));
}

/**
 * Remembers those of `roots` that the owners chose, and that are not disputed, as this owner's choice too. The doorbell
 * trusts them already, so nothing is signed.
 *
 * @param {string[]} roots
 */
export async function takeOverRoots(roots) {
  const found = (await householdRoots()).filter((each) => !each.isDisputed && roots.includes(each.key));
  const { device } = await syncDevice();
  await addRoots(
    device.id,
    found.map((each) => each.key),
  );
}

/**
 * The roots that remain after the changes in `shown`. They must be the last ones of the ledger, without a gap, each
 * signed by an owner of the list in force at its place in the ledger.
 *
 * @param {string[]} shown
 * @param {Entry[]} entries
 * @param {string[]} enrolments verified from the first one on
 * @param {PublicKey} device
 * @returns {Promise<ChosenRoot[]>}
 */
export async function rootsChosen(shown, entries, enrolments, device) {
  const recorded = await changesIn(entries, enrolments);
  // The last changes of the ledger, without a gap: the doorbell drops only the oldest.
  if (shown.length > recorded.length) throw new OpenError("error.unsigned-root");
  const first = recorded.length - shown.length;
  /** @type {Map<string, ChosenRoot>} */
  const chosen = new Map();
  for (const [i, envelope] of shown.entries()) {
    const { change, by } = await opened(envelope, recorded[first + i], device);
    for (const text of change.roots_removed ?? []) chosen.delete(text);
    for (const text of change.roots_added ?? [])
      chosen.set(text, { key: text, id: (await parseTrustKey(text)).id, by, at: change.owner_time_ms });
  }
  return [...chosen.values()];
}

/**
 * The hash of each change of the roots, and the list of owners at its place in the ledger.
 *
 * @param {Entry[]} entries
 * @param {string[]} enrolments
 */
async function changesIn(entries, enrolments) {
  const lists = new Map();
  for (const envelope of enrolments) {
    const { value, sha256 } = await readEnrolment(envelope);
    lists.set(sha256, value);
  }
  /** @type {Wire.Enrolment | undefined} */
  let owners;
  const found = [];
  for (const entry of entries) {
    if (entry.kind === "recipients-changed") owners = lists.get(entry.subject);
    // A trust bundle has a version. A statement of an owner has none.
    else if (entry.kind === "trust-changed" && entry.version === undefined)
      found.push({ subject: entry.subject, owners });
  }
  return found;
}

/**
 * @param {string} envelope
 * @param {{ subject: string | undefined, owners: Wire.Enrolment | undefined }} recorded
 * @param {PublicKey} device
 */
async function opened(envelope, { subject, owners }, device) {
  try {
    if (!owners) throw new OpenError("error.unsigned-root");
    const signers = await signersOf(owners);
    const { payload, keyId } = await openStatement(utf8(envelope), CHANGE, signers);
    const change = trustChange(decode(payload, STATEMENT_LIMIT));
    const isRecorded = (await sha256hex(payload)) === subject && change.device === device.text;
    if (!isRecorded) throw new OpenError("error.unsigned-root");
    return { change, by: signers.get(keyId)?.name ?? "" };
  } catch {
    throw new OpenError("error.unsigned-root");
  }
}

/**
 * The names of the requesters by root, from the bundles and packages that these roots signed.
 *
 * @param {ChosenRoot[]} chosen
 * @param {Pick<Wire.TrustAnswer, "bundles" | "heard" | "cell" | "agreed_in">} shown by the doorbell
 * @param {import("../types.js").Newest} newest
 */
export async function requestersOf(chosen, { bundles, heard, cell, agreed_in: agreedIn }, newest) {
  const keys = await Promise.all(chosen.map((each) => parseTrustKey(each.key)));
  const trust = new TrustStore(new Map(keys.map((key) => [key.id, key])), newest, cell);
  const agreed = new Map(bundles.map(utf8).map((bytes) => [claimedRoot(bytes), bytes]));
  const news = new Map(heard.map(utf8).map((bytes) => [claimedRoot(bytes), bytes]));
  for (const root of trust.roots.keys()) await trust.acceptShown(agreed.get(root), news.get(root), agreedIn?.[root]);
  return new Map([...trust.roots.keys()].map((root) => [root, trust.requesters(root).map((each) => each.name)]));
}

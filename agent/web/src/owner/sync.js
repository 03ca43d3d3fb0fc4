// Begins every talk with the doorbell: is it the one this browser knows, and has it only gone forwards?
// (agent/clients/owner/sync.py)
import { LostError, OpenError, RefusedError } from "../errors.js";
import { ask, fetchOp } from "../link.js";
import { sha256hex, unbase64, unhex, utf8 } from "../wire/bytes.js";
import { payloadType } from "../wire/envelope.js";
import { parseKey } from "../wire/keys.js";
import { checkConsistency, openCheckpoint } from "../wire/ledger.js";
import { enrolment as isEnrolment, STATEMENT_LIMIT } from "../wire/messages.js";
import { openStatement, readStatement, signersOf } from "../wire/mldsa.js";
import { decode } from "../wire/strictjson.js";
import { rememberShown } from "./known.js";
import * as store from "./store.js";

/** @import { Bytes, Checkpoint, Enrolled, Known, SyncedDevice, Owners, PublicKey } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
export const ENROLMENT = payloadType("enrolment");

/**
 * Throws OpenError if the doorbell has no owner yet and so no enrolment.
 *
 * @param {string | null | undefined} envelope
 * @returns {Promise<Enrolled>}
 */
export async function readEnrolment(envelope) {
  if (!envelope) throw new OpenError("error.no-owner");
  const claimed = readStatement(utf8(envelope));
  const value = isEnrolment(decode(claimed.payload, STATEMENT_LIMIT));
  return { value, sha256: await sha256hex(claimed.payload), envelope };
}

/**
 * `{device, known, enrolment, enrolled, checkpoint, grown}`: `enrolment` is the list of owners in force, `enrolled`
 * the same as `readEnrolment` gives it.  Throws OpenError for a doorbell that went backwards.
 */
export async function syncDevice() {
  const { device, second } = await shownKeys();
  const known = await store.memory(device.id);
  if (!known) throw new OpenError("error.unknown-doorbell");
  const enrolments = await checkEnrolmentChain(known, (await ask("enrolment")).envelope ?? undefined, device);
  await requireEnrolled(second, enrolments);
  const before = await openCheckpoint(known.checkpoint, device, second);
  const checkpoint = await askCheckpoint(before, device, second);
  // Only now: what has not been verified must not become what the doorbell is compared with.
  await rememberShown(device.id, { enrolments, checkpoint: checkpoint.note });
  return synced(device, enrolments, checkpoint, checkpoint.size - before.size);
}

/**
 * Remembers what a statement has changed that the doorbell has just taken. It counts: a connection that is lost now
 * must not look as if it did not.
 */
export async function syncAfter() {
  await syncDevice().catch((error) => {
    if (!(error instanceof LostError)) throw error;
  });
}

/**
 * The doorbell as it is seen for the first time; it is known by its key from then on.  `expected` is the hash of a
 * list of owners that has to be among those it shows. A doorbell that lost its owners counts as new once it shows a
 * first list that this owner signed for it since.
 *
 * @param {string} [expected]
 * @returns {Promise<SyncedDevice>}
 */
export async function syncNewDevice(expected) {
  const { device, second } = await shownKeys();
  const known = await store.memory(device.id);
  // A known doorbell is never met as new: that would forget the head from which a rollback shows.
  if (known && !known.claims) return syncDevice();
  const shown = (await ask("enrolment")).envelope;
  if (!shown) throw new OpenError("error.no-owner");
  const enrolments = await enrolmentsAfter(0);
  if (known && !known.claims.includes((await readEnrolment(enrolments[0])).sha256)) return syncDevice();
  const found = await verifyChain(enrolments, undefined, device, "error.other-owners");
  // Two questions, one list. Otherwise the doorbell shows different owners to different questions.
  if (enrolments.at(-1) !== shown) throw new OpenError("error.other-owners");
  if (expected && !found.some((each) => each.sha256 === expected)) throw new OpenError("error.other-owners");
  await requireEnrolled(second, enrolments);
  const checkpoint = await askCheckpoint(undefined, device, second);
  await store.remember(device.id, { enrolments, checkpoint: checkpoint.note, roots: [], bundles: {} });
  return synced(device, enrolments, checkpoint, 0);
}

/**
 * `{key, mldsa, name}` of everyone who was an owner at some time, by key id; the name is the newest. Settings of an
 * owner stay in force after they have left.
 *
 * @param {Known} known
 * @returns {Promise<Owners>}
 */
export async function ownersEver(known) {
  const owners = new Map();
  for (const envelope of known.enrolments) {
    for (const [id, owner] of await signersOf((await readEnrolment(envelope)).value)) owners.set(id, owner);
  }
  return owners;
}

/**
 * @param {PublicKey} device
 * @param {string[]} enrolments
 * @param {Checkpoint} checkpoint
 * @param {number} grown
 * @returns {Promise<SyncedDevice>}
 */
async function synced(device, enrolments, checkpoint, grown) {
  const enrolled = await readEnrolment(enrolments[enrolments.length - 1]);
  return { device, known: await store.memory(device.id), enrolment: enrolled.value, enrolled, checkpoint, grown };
}

/**
 * The lists of owners after epoch `after`, as the doorbell shows them.
 *
 * @param {number} after
 * @returns {Promise<string[]>}
 */
async function enrolmentsAfter(after) {
  const { body } = await fetchOp("enrolments", { after });
  return body.length ? new TextDecoder().decode(body).split("\n") : [];
}

/**
 * @param {Known} known
 * @param {string | undefined} shown
 * @param {PublicKey} device
 */
async function checkEnrolmentChain(known, shown, device) {
  if (!shown) throw new OpenError("error.went-backwards");
  const before = await readEnrolment(known.enrolments[known.enrolments.length - 1]);
  const now = await readEnrolment(shown);
  if (now.sha256 === before.sha256) return known.enrolments;
  if (now.value.epoch <= before.value.epoch || now.value.device !== device.text)
    throw new OpenError("error.went-backwards");
  const added = await enrolmentsAfter(before.value.epoch);
  if (added.at(-1) !== shown) throw new OpenError("error.went-backwards");
  await verifyChain(added, before, device, "error.other-owners");
  return [...known.enrolments, ...added];
}

/**
 * Verifies that an owner of the list before signed each list, and that a member signed the first. Throws `problem`.
 *
 * @param {string[]} envelopes
 * @param {Enrolled | undefined} first
 * @param {PublicKey} device
 * @param {string} problem
 */
async function verifyChain(envelopes, first, device, problem) {
  const found = [];
  let before = first;
  for (const envelope of envelopes) {
    const now = await readEnrolment(envelope);
    const entitled = await signersOf((before ?? now).value);
    await openStatement(utf8(envelope), ENROLMENT, entitled).catch(() => {
      throw new OpenError(problem);
    });
    const follows = now.value.epoch === (before?.value.epoch ?? 0) + 1 && now.value.previous === before?.sha256;
    const isSameKey = !before || now.value.device_mldsa === before.value.device_mldsa;
    if (!follows || !isSameKey || now.value.device !== device.text) throw new OpenError(problem);
    found.push(now);
    before = now;
  }
  if (!found.length) throw new OpenError(problem);
  return found;
}

/** Both keys that the doorbell claims. Its owners have signed the hash of the second one. */
async function shownKeys() {
  const shown = await ask("device");
  return { device: await parseKey(shown.device), second: unbase64(shown.device_mldsa) };
}

/**
 * Throws unless the newest list of owners names the doorbell's second key.
 *
 * @param {Bytes} second
 * @param {string[]} enrolments
 */
async function requireEnrolled(second, enrolments) {
  const { value } = await readEnrolment(enrolments[enrolments.length - 1]);
  if (value.device_mldsa !== (await sha256hex(second))) throw new OpenError("error.went-backwards");
}

/**
 * @param {Checkpoint | undefined} before
 * @param {PublicKey} device
 * @param {Bytes} second
 */
async function askCheckpoint(before, device, second) {
  let answer;
  try {
    answer = await ask("checkpoint", { old_size: before?.size ?? 0 });
  } catch (error) {
    // A full disk (503) or a session that is over (401, 403) says nothing of the ledger.
    if (!(error instanceof RefusedError) || error.status !== 400 || !before) throw error;
    // A ledger that has become shorter can give no proof.
    throw new OpenError("error.went-backwards");
  }
  const checkpoint = await openCheckpoint(answer.checkpoint, device, second);
  if (before)
    await checkConsistency(before.size, before.root, checkpoint.size, checkpoint.root, answer.proof.map(unhex));
  return checkpoint;
}

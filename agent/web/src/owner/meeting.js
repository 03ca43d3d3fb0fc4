// Begins every talk with the doorbell: is it the one this browser knows, and has it only gone forwards?
// (agent/owner/meeting.py)
import { OpenError, RefusedError } from "../errors.js";
import { ask } from "../link.js";
import { sha256hex, unhex, utf8 } from "../wire/bytes.js";
import { open, payloadType, readUnverified } from "../wire/envelope.js";
import { parseKey } from "../wire/keys.js";
import { checkConsistency, openCheckpoint } from "../wire/ledger.js";
import { enrolment as isEnrolment, STATEMENT_ENVELOPE_LIMIT, STATEMENT_LIMIT } from "../wire/messages.js";
import { decode } from "../wire/strictjson.js";
import * as store from "./store.js";

export const ENROLMENT = payloadType("enrolment");

export async function readEnrolment(envelope) {
  const claimed = readUnverified(utf8(envelope), STATEMENT_ENVELOPE_LIMIT);
  const value = isEnrolment(decode(claimed.payload, STATEMENT_LIMIT));
  return { value, sha256: await sha256hex(claimed.payload), envelope };
}

export async function approverKeys(enrolment) {
  const keys = await Promise.all(enrolment.approvers.map((approver) => parseKey(approver.key)));
  return new Map(keys.map((key) => [key.id, key]));
}

/** `{device, known, enrolment, checkpoint, grown}`.  Throws OpenError for a doorbell that went backwards. */
export async function meet() {
  const device = await parseKey((await ask("device")).device);
  const known = await store.memory(device.id);
  if (!known) throw new OpenError("error.unknown-doorbell");
  const shown = (await ask("enrolment")).envelope;
  const enrolment = await followed(known, shown, device);
  const before = await openCheckpoint(known.checkpoint, device);
  const checkpoint = await askCheckpoint(before, device);
  await remember(device, { enrolment: enrolment.envelope, checkpoint: checkpoint.note });
  return { device, known: await store.memory(device.id), enrolment: enrolment.value, checkpoint, grown: checkpoint.size - before.size };
}

/** The doorbell as it is seen for the first time; it is known by its key from then on. */
export async function meetFirst(expected) {
  const device = await parseKey((await ask("device")).device);
  if (await store.memory(device.id)) return meet();
  const shown = (await ask("enrolment")).envelope;
  if (!shown) throw new OpenError("error.no-owner");
  const enrolment = await readEnrolment(shown);
  if (enrolment.value.device !== device.text || (expected && enrolment.sha256 !== expected)) throw new OpenError("error.other-owners");
  await open(utf8(shown), ENROLMENT, await approversBefore(enrolment.value), STATEMENT_ENVELOPE_LIMIT).catch((error) => {
    // A later enrolment may be signed by an owner who has left since; who vouches for it is the code and the kit.
    if (enrolment.value.epoch === 1) throw error;
  });
  const checkpoint = await askCheckpoint(undefined, device);
  await store.remember(device.id, { enrolment: shown, checkpoint: checkpoint.note, roots: [], bundles: {} });
  return { device, known: await store.memory(device.id), enrolment: enrolment.value, checkpoint, grown: 0 };
}

const approversBefore = (enrolment) => approverKeys(enrolment);

async function remember(device, changed) {
  const known = await store.memory(device.id);
  await store.remember(device.id, { ...known, ...changed });
}

async function followed(known, shown, device) {
  if (!shown) throw new OpenError("error.went-backwards");
  const before = await readEnrolment(known.enrolment);
  const now = await readEnrolment(shown);
  if (now.sha256 === before.sha256) return before;
  try {
    await open(utf8(shown), ENROLMENT, await approverKeys(before.value), STATEMENT_ENVELOPE_LIMIT);
  } catch {
    throw new OpenError("error.other-owners");
  }
  const isNext = now.value.epoch === before.value.epoch + 1;
  if (now.value.epoch <= before.value.epoch || now.value.device !== device.text || (isNext && now.value.previous !== before.sha256)) {
    throw new OpenError("error.went-backwards");
  }
  return now;
}

async function askCheckpoint(before, device) {
  let answer;
  try {
    answer = await ask("checkpoint", { old_size: before?.size ?? 0 });
  } catch (error) {
    if (!(error instanceof RefusedError) || error.status !== 400 || !before) throw error;
    // A ledger that has become shorter can give no proof.
    throw new OpenError("error.went-backwards");
  }
  const checkpoint = await openCheckpoint(answer.checkpoint, device);
  if (before) await checkConsistency(before.size, before.root, checkpoint.size, checkpoint.root, answer.proof.map(unhex));
  return checkpoint;
}

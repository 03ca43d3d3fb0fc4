// Makes a doorbell an owner's, and ends only when its keys have been seen to open (agent/clients/owner/enrolment.py).
import { OpenError, RefusedError } from "../errors.js";
import { ask, fetchOp } from "../link.js";
import { open as openAge } from "../wire/age.js";
import { hex, sha256hex, unbase64 } from "../wire/bytes.js";
import { payloadType, seal } from "../wire/envelope.js";
import { parseKey } from "../wire/keys.js";
import { approverOf } from "../wire/mldsa.js";
import { encode } from "../wire/strictjson.js";
import { RECOVERY, recoveryApproval } from "./keys.js";
import { statement, throwUnsure } from "./statements.js";
import { readEnrolment, syncDevice } from "./sync.js";

/** @import { Bytes, Change, Lists, PublicKey, Secrets } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
const TOKEN_BYTES = 32;

/**
 * The first enrolment: this owner, and the recovery kit as a recipient and as an approver of last resort.
 *
 * @param {Wire.OwnerCard} card
 * @param {Secrets} secrets
 * @param {string} recoveryIdentity
 * @param {(sha256: string) => Promise<unknown>} [note] is told the list's hash before the doorbell gets it
 */
export async function enrolFirst(card, secrets, recoveryIdentity, note) {
  const shown = await ask("device");
  const device = await parseKey(shown.device);
  const kit = await approverOf(await recoveryApproval(recoveryIdentity));
  const matter = {
    epoch: 1,
    recipients: [{ name: card.name, recipient: card.recipient }],
    approvers: [
      { name: card.name, key: card.approver, mldsa: card.approver_mldsa },
      { name: RECOVERY, ...kit },
    ],
    recovery: card.recovery,
    device_mldsa: await sha256hex(unbase64(shown.device_mldsa)),
  };
  const identities = { [card.recipient]: secrets.identity, [card.recovery]: recoveryIdentity };
  await propose(device, matter, secrets.approval, identities, note);
}

/**
 * The next enrolment: `change(recipients, approvers)` gives the new lists, and another `recovery` if there is one. It
 * follows the list that this browser knows, or a signed successor of it: a doorbell that shows invented owners gets no
 * signature.
 *
 * @param {Change} change
 * @param {Bytes} approval
 * @param {Record<string, string>} identities
 */
export async function enrolNext(change, approval, identities) {
  const { device, enrolled: before } = await syncDevice();
  const lists = change(before.value.recipients, before.value.approvers);
  // The number of approvals is the owners' agreement. It stands until an owner changes it or too few owners are left.
  const needed = Math.min(lists.approvals_needed ?? before.value.approvals_needed ?? 1, lists.recipients.length);
  const matter = {
    epoch: before.value.epoch + 1,
    recipients: lists.recipients,
    approvers: lists.approvers,
    recovery: lists.recovery ?? before.value.recovery,
    device_mldsa: before.value.device_mldsa,
    previous: before.sha256,
    approvals_needed: needed > 1 ? needed : undefined,
  };
  const done = await propose(device, matter, approval, identities);
  if (done.waiting.length) return done;
  const { enrolled } = await syncDevice().catch(throwUnsure);
  if (enrolled.value.nonce !== done.nonce) throw new OpenError("error.other-owners");
  return done;
}

/**
 * @param {PublicKey} device
 * @param {Lists} matter
 * @param {Bytes} approval
 * @param {Record<string, string>} identities
 * @param {(sha256: string) => Promise<unknown>} [note]
 */
async function propose(device, matter, approval, identities, note) {
  const envelope = await statement("enrolment", device, matter, approval);
  const { sha256, value } = await readEnrolment(envelope);
  const { nonce } = value;
  await note?.(sha256);
  /** @type {{ tests: { name: string, recipient: string }[] }} */
  const { tests } = await ask("enrol", { envelope });
  const proposed = new Set([...matter.recipients.map((each) => each.recipient), matter.recovery]);
  if (tests.some((test) => !proposed.has(test.recipient))) throw new OpenError("error.other-owners");
  return { ...(await answerTests(tests, identities)), nonce };
}

/**
 * Opens every test that can be opened here. `{waiting}`: names of the owners that must open theirs elsewhere.
 *
 * @param {{ name: string, recipient: string }[]} tests
 * @param {Record<string, string>} identities
 */
export async function answerTests(tests, identities) {
  /** @type {Record<string, string>} */
  const tokens = {};
  const waiting = [];
  for (const { name, recipient } of tests) {
    const identity = identities[recipient];
    if (!identity) {
      waiting.push(name);
      continue;
    }
    const { body } = await fetchOp("enrol_test", { name });
    const token = await openAge(body, identity);
    // Anything else would make this browser open, and hand back, whatever the doorbell wants opened.
    if (token.length !== TOKEN_BYTES) throw new OpenError("error.not-a-test");
    tokens[name] = hex(token);
  }
  if (Object.keys(tokens).length || !waiting.length) {
    try {
      const answer = await ask("enrol_confirm", { tokens }).catch(throwUnsure);
      return { waiting: answer.waiting ?? [] };
    } catch (error) {
      if (!(error instanceof RefusedError) || !waiting.length) throw error;
    }
  }
  return { waiting };
}

/**
 * Proves to the page's server that this browser holds an owner's key, or a glance key. The proof is good for one
 * session only.
 *
 * @param {Bytes} seed of the key that signs
 * @param {string} origin
 */
export async function prove(seed, origin) {
  const { challenge } = await ask("page_challenge");
  const device = (await ask("device")).device;
  // With the origin, so that the proof counts at this address of the doorbell alone.
  const payload = encode({ v: 1, device, origin, challenge });
  await ask("page_prove", { envelope: await seal(payloadType("page-login"), payload, seed) });
}

// The way to the doorbell from another network: a session of the link through the relay that the doorbell named.
//
// At home the page asks over HTTPS. If the doorbell does not answer there, unlocking opens a session with the owner's
// approval key, and every operation goes through it until it ends. Locking ends it. `reachDoorbell` decides.
// A session that ends while the keys are unlocked is opened again with the next operation: after a restart of the
// doorbell or the relay, or in another network of the phone.
//
// Before anything is unlocked, `reachDoor` opens a session with the glance key of this browser, at home too: it allows
// live view and talk, and nothing else. Unlocking replaces it.
// The page that an owner sees meanwhile is pages/away.js.
import { LostError, PageError } from "./errors.js";
import { ask, fetchHere, fetchOp, fetchThrough } from "./link.js";
import { openSession } from "./link_session.js";
import { openCarrier } from "./mqtt_carrier.js";
import { glanceKey } from "./owner/glance.js";
import * as store from "./owner/store.js";
import { unhex } from "./wire/bytes.js";
import { parseKey, publicKeyOfSeed, sign } from "./wire/keys.js";
import { addressOf } from "./wire/link.js";

/** @import { Bytes, PublicKey } from "./types.js" */
/** @import { RelayAccount } from "./mqtt_carrier.js" */
/** @import { ControlOperations } from "./wire/generated.js" */

/**
 * The relay and the secret of the doorbell that this browser has last met.
 *
 * @typedef {{ device: string, doorbell: string, secret: string, relay: RelayAccount }} Known
 */

const NAME = "link";
/** A doorbell at home answers within this time. A mobile network drops packets to a home without a word. */
const PATIENCE_MS = 1200;
/** Between two attempts to open a session again. It doubles up to the second value. */
const AGAIN_MS = [1000, 20_000];
/** Causes that another attempt does not change. */
const FINAL = ["error.link-not-listed", "error.link-not-authentic", "error.relay-account"];

/** @type {{ close: () => void } | undefined} */
let session;
/**
 * The key that the session at the door opens with, while there is one.
 *
 * @type {{ key: string, by: PublicKey } | undefined}
 */
let door;
/** @type {Promise<boolean> | undefined} */
let reaching;
/**
 * Opens the session of an unlocked owner again.
 *
 * @type {(() => Promise<void>) | undefined}
 */
let again;
/** @type {Promise<void> | undefined} */
let reopening;

/** True in a session that an owner's key has opened. */
export const isAway = () => session !== undefined && door === undefined;

/** The glance key and the doorbell's key, in a session at the door. */
export const atDoor = () => door;

/**
 * The doorbell that can be reached through a relay, or undefined.
 *
 * @returns {Promise<Known | undefined>}
 */
const knownRelay = () => store.memory(NAME);

/**
 * Keeps the address of the doorbell for later. Call it while the doorbell's key has been checked.
 *
 * @param {string} device
 */
export async function rememberRelay(device) {
  try {
    const [{ doorbell }, found] = await Promise.all([ask("page_hello"), ask("link_address")]);
    const { secret, relay } = /** @type {{ secret: string, relay?: RelayAccount | null }} */ (found);
    if (relay || (await knownRelay()))
      await store.remember(NAME, relay ? { device, doorbell, secret, relay } : undefined);
  } catch (error) {
    if (!(error instanceof PageError)) throw error; // the owner is in: a relay that is not known is no reason to fail
  }
}

/**
 * Opens a session if the doorbell is not in this network and a relay is known.
 *
 * @param {Bytes} approval
 */
export async function reachDoorbell(approval) {
  leaveRelay();
  const known = await knownRelay();
  if (!known || (await isHere())) return;
  const own = await publicKeyOfSeed(approval);
  /** @type {() => Promise<void>} */
  const begin = () => open(known, own, (message) => sign(approval, message));
  await begin();
  again = begin;
}

/** Opens a session at the door. False if this browser has no glance key that the doorbell lets in. */
export function reachDoor() {
  reaching ??= openDoor().finally(() => (reaching = undefined));
  return reaching;
}

async function openDoor() {
  if (session) return door !== undefined;
  const [known, glance] = await Promise.all([knownRelay(), glanceKey()]);
  if (!known || !glance) return false;
  try {
    await open(known, glance.own, glance.sign);
    door = { key: glance.identity, by: await parseKey(known.device) };
    return true;
  } catch (error) {
    if (error instanceof PageError) return false; // unlocking says what is wrong
    throw error;
  }
}

/**
 * @param {Known} known
 * @param {PublicKey} own
 * @param {(message: Bytes) => Promise<Uint8Array>} signing
 */
async function open(known, own, signing) {
  const secret = unhex(known.secret);
  const carrier = await openCarrier(known.relay, addressOf(secret));
  const opened = await openSession({ carrier, secret, device: await parseKey(known.device), own, sign: signing });
  opened.onend = (error) => {
    if (session === opened) lose(error);
  };
  session = opened;
  fetchThrough((op, ...values) => opened.fetchOp(op, ...values));
}

export function leaveRelay() {
  const left = session;
  session = undefined;
  door = undefined;
  again = undefined;
  fetchThrough(undefined);
  left?.close();
}

/**
 * The session has ended. The doorbell may answer in this network; otherwise the next operation opens another session.
 *
 * @param {Error} error
 */
function lose(error) {
  const begin = isFinal(error) ? undefined : again;
  leaveRelay();
  again = begin;
  const attempts = begin && spaced(begin);
  fetchThrough(async (op, ...values) => {
    const isAtHome = await isHere();
    if (session) return fetchOp(op, ...values); // another operation has opened one meanwhile
    if (isAtHome) fetchThrough(undefined);
    else if (!attempts) throw isFinal(error) ? error : new LostError();
    else await attempts();
    return fetchOp(op, ...values);
  });
}

/** @param {unknown} error */
const isFinal = (error) => error instanceof PageError && FINAL.includes(error.text);

/**
 * One attempt at a time, and ever more rarely. A call between two attempts fails as the last one did.
 *
 * @param {() => Promise<void>} begin
 */
function spaced(begin) {
  let [pause, due] = [AGAIN_MS[0], 0];
  /** @type {unknown} */
  let failure;
  return async () => {
    if (performance.now() < due && !reopening) throw failure;
    reopening ??= begin().finally(() => (reopening = undefined));
    try {
      await reopening;
    } catch (error) {
      failure = error;
      due = isFinal(error) ? Number.POSITIVE_INFINITY : performance.now() + pause;
      pause = Math.min(2 * pause, AGAIN_MS[1]);
      throw error;
    }
    // Locked meanwhile.
    if (again !== begin) leaveRelay();
  };
}

/**
 * The doorbell's words before unlocking. Without an answer in this network, that of a doorbell that can be reached
 * through a relay: its owner unlocks the page first, because the session needs the owner's key.
 *
 * @returns {Promise<ControlOperations["page_hello"]["answer"]>}
 */
export async function hello() {
  const known = isAway() ? undefined : await knownRelay();
  if (!known) return ask("page_hello");
  const answer = await answerHere();
  if (answer) return answer;
  const { device, doorbell } = known;
  return { claimed: true, device, doorbell, owner: false, session: "", program: "" };
}

/** True if a doorbell answers over HTTPS. */
const isHere = async () => (await answerHere()) !== undefined;

/** The answer over HTTPS, or undefined if none comes in time. */
async function answerHere() {
  const answered = fetchHere("page_hello").then(
    ({ result }) => result,
    (error) => {
      if (error instanceof LostError) return undefined;
      throw error;
    },
  );
  const late = new Promise((resolve) => setTimeout(() => resolve(undefined), PATIENCE_MS));
  return Promise.race([answered, late]);
}

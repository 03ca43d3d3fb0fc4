// The way to the doorbell from another network: a session of the link through the relay that the doorbell named.
//
// At home the page asks over HTTPS. If the doorbell fails to answer there, unlocking opens a session with the owner's
// approval key, and every operation goes through it until it ends. Locking ends it. `reachDoorbell` decides.
// A session that ends while the keys are unlocked is opened again with the next operation: after a restart of the
// doorbell or the relay, or in another network of the phone.
//
// Before anything is unlocked, `reachDoor` shows the doorbell the glance key of this browser: it allows live view and
// talk, and nothing else. At home the page proves the key over HTTPS, and needs no relay. Elsewhere it opens a session
// with it. Both are tried at once, and the way at home comes first. Unlocking replaces it.
// The page that an owner sees meanwhile is pages/away.js.
import { LostError, PageError, RefusedError } from "./errors.js";
import { ask, fetchHere, fetchOp, fetchThrough } from "./link.js";
import { openSession } from "./link_session.js";
import { openCarrier } from "./mqtt_carrier.js";
import { prove } from "./owner/enrolment.js";
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

/** The glance key and the doorbell's key, while this browser is at the door. */
export const atDoor = () => door;

/**
 * After a failure at the door: a doorbell that has restarted knows no proof, and a phone may have left its network. The
 * next `reachDoor` finds the way again.
 *
 * @param {unknown} error
 */
export function retryDoor(error) {
  if (session || !door || !isDoorLost(error)) return error;
  door = undefined;
  return new LostError();
}

/** @param {unknown} error */
const isDoorLost = (error) =>
  error instanceof LostError || (error instanceof RefusedError && [401, 403].includes(error.status));

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
  const open = async () => take(await begin(known, own, (message) => sign(approval, message)));
  await open();
  again = open;
}

/** Finds a way to the door. False if this browser has no glance key that the doorbell lets in. */
export function reachDoor() {
  reaching ??= openDoor().finally(() => (reaching = undefined));
  return reaching;
}

async function openDoor() {
  if (session || door) return door !== undefined;
  const [known, glance] = await Promise.all([knownRelay(), glanceKey()]);
  if (!glance) return false;
  const away = known ? begin(known, glance.own, glance.sign).catch(asUndefined) : undefined;
  const by = await proveHere(glance).catch(asUndefined);
  if (by || !known) {
    void away?.then((opened) => opened?.close());
    door = by && { key: glance.identity, by };
    return by !== undefined;
  }
  const opened = await away;
  if (!opened) return false;
  take(opened);
  door = { key: glance.identity, by: await parseKey(known.device) };
  return true;
}

/**
 * Unlocking says what is wrong.
 *
 * @param {unknown} error
 */
function asUndefined(error) {
  if (error instanceof PageError) return undefined;
  throw error;
}

/**
 * Proves the glance key to the doorbell in this network. Returns the doorbell's key, or undefined if it fails to answer
 * or if this browser does not know it.
 *
 * @param {NonNullable<Awaited<ReturnType<typeof glanceKey>>>} glance
 */
async function proveHere(glance) {
  const answer = await answerHere();
  if (!answer) return undefined;
  const by = await parseKey(answer.device);
  if (!(await store.devices()).includes(by.id)) return undefined;
  await prove(glance.seed, location.origin);
  return by;
}

/**
 * @param {Known} known
 * @param {PublicKey} own
 * @param {(message: Bytes) => Promise<Uint8Array>} signing
 */
async function begin(known, own, signing) {
  const secret = unhex(known.secret);
  const carrier = await openCarrier(known.relay, addressOf(secret));
  return openSession({ carrier, secret, device: await parseKey(known.device), own, sign: signing });
}

/** @param {Awaited<ReturnType<typeof begin>>} opened */
function take(opened) {
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
  const open = isFinal(error) ? undefined : again;
  leaveRelay();
  again = open;
  const attempts = open && spaced(open);
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
 * @param {() => Promise<void>} open
 */
function spaced(open) {
  let [pause, due] = [AGAIN_MS[0], 0];
  /** @type {unknown} */
  let failure;
  return async () => {
    if (performance.now() < due && !reopening) throw failure;
    reopening ??= open().finally(() => (reopening = undefined));
    try {
      await reopening;
    } catch (error) {
      failure = error;
      due = isFinal(error) ? Number.POSITIVE_INFINITY : performance.now() + pause;
      pause = Math.min(2 * pause, AGAIN_MS[1]);
      throw error;
    }
    // Locked meanwhile.
    if (again !== open) leaveRelay();
  };
}

/**
 * The doorbell's words before unlocking. Without an answer in this network, that of a doorbell that can be reached
 * through a relay: its owner unlocks the page first, because the session needs the owner's key.
 *
 * @returns {Promise<ControlOperations["page_hello"]["answer"]>}
 */
export async function hello() {
  if (isAway()) return ask("page_hello");
  const [known, answer] = await Promise.all([knownRelay(), answerHere()]);
  if (answer) return answer;
  if (!known) return ask("page_hello");
  const { device, doorbell } = known;
  return { claimed: true, device, doorbell, owner: false, session: "", program: "" };
}

/** True if a doorbell answers over HTTPS. */
const isHere = async () => (await answerHere()) !== undefined;

/** @type {Promise<ControlOperations["page_hello"]["answer"] | undefined> | undefined} */
let answering;

/**
 * The answer over HTTPS, or undefined if none comes in time. Questions at one time share one answer: the proof of a
 * glance key renews the cookie, and a question that is under way then would be a stranger's.
 */
function answerHere() {
  answering ??= askHere().finally(() => (answering = undefined));
  return answering;
}

async function askHere() {
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

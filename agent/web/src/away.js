// The way to the doorbell from another network: a session of the link through the relay that the doorbell named.
//
// At home the page asks over HTTPS. If the doorbell does not answer there, unlocking opens a session with the owner's
// approval key, and every operation goes through it until it ends. Locking ends it. `reachDoorbell` decides.
// The page that an owner sees meanwhile is pages/away.js.
import { LostError, PageError } from "./errors.js";
import { ask, fetchThrough } from "./link.js";
import { openSession } from "./link_session.js";
import { openCarrier } from "./mqtt_carrier.js";
import * as store from "./owner/store.js";
import { unhex } from "./wire/bytes.js";
import { parseKey, publicKeyOfSeed, sign } from "./wire/keys.js";
import { addressOf } from "./wire/link.js";

/** @import { Bytes } from "./types.js" */
/** @import { RelayAccount } from "./mqtt_carrier.js" */

/**
 * The relay and the secret of the doorbell that this browser has last met.
 *
 * @typedef {{ device: string, doorbell: string, secret: string, relay: RelayAccount }} Known
 */

const NAME = "link";
/** A doorbell at home answers within this time. */
const PATIENCE_MS = 1500;

/** @type {{ close: () => void } | undefined} */
let session;

export const isAway = () => session !== undefined;

/**
 * The doorbell that can be reached through a relay, or undefined.
 *
 * @returns {Promise<Known | undefined>}
 */
export const knownRelay = () => store.memory(NAME);

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
  const carrier = await openCarrier(known.relay, addressOf(unhex(known.secret)));
  const opened = await openSession({
    carrier,
    secret: unhex(known.secret),
    device: await parseKey(known.device),
    own: await publicKeyOfSeed(approval),
    sign: (message) => sign(approval, message),
  });
  opened.onend = () => leaveRelay();
  session = opened;
  fetchThrough((op, ...values) => opened.fetchOp(op, ...values));
}

export function leaveRelay() {
  const left = session;
  session = undefined;
  fetchThrough(undefined);
  left?.close();
}

/** True if a doorbell answers over HTTPS. */
async function isHere() {
  const answered = ask("page_hello").then(
    () => true,
    (error) => !(error instanceof LostError),
  );
  const late = new Promise((resolve) => setTimeout(() => resolve(false), PATIENCE_MS));
  return Promise.race([answered, late]);
}

// An owner's settings over the doorbell's configuration: one signed statement, whole
// (agent/clients/owner/device_settings.py).
import { OpenError } from "../errors.js";
import { ask } from "../link.js";
import { utf8 } from "../wire/bytes.js";
import { payloadType } from "../wire/envelope.js";
import { settings as isSettings, STATEMENT_LIMIT } from "../wire/messages.js";
import { openStatement } from "../wire/mldsa.js";
import { decode } from "../wire/strictjson.js";
import { signAndSubmit } from "./statements.js";
import { ownersEver, syncAfter, syncDevice } from "./sync.js";

/** @import { SyncedDevice, Unlocked } from "../types.js" */

const MATTER = [
  "name",
  "position",
  "sensitivity_percent",
  "smallest_person",
  "zones",
  "max_bytes",
  "max_age_days",
  "quiet",
  "private",
  "updates",
];

/**
 * `{sha256, matter}`: the settings. Throws OpenError unless a present or past owner of this doorbell signed them. The
 * settings of an owner who has left stay in force, so that changing one setting keeps every mask.
 *
 * @param {SyncedDevice} synced
 */
export async function readSettings(synced) {
  const { envelope, sha256 } = await ask("settings");
  if (!envelope) return { sha256: undefined, matter: {} };
  let claimed;
  try {
    claimed = await openStatement(utf8(envelope), payloadType("settings"), await ownersEver(synced.known));
  } catch {
    throw new OpenError("error.settings");
  }
  const value = isSettings(decode(claimed.payload, STATEMENT_LIMIT));
  return {
    sha256: sha256 ?? undefined,
    matter: Object.fromEntries(
      Object.entries(value).filter(([key, each]) => MATTER.includes(key) && each !== undefined),
    ),
  };
}

/**
 * Sets `changes` and leaves the rest; `null` gives a value back to the configuration.
 *
 * @param {Record<string, unknown>} changes
 * @param {Unlocked} keys
 */
export async function changeSettings(changes, keys) {
  const synced = await syncDevice();
  const { sha256, matter } = await readSettings(synced);
  await signed(synced, sha256, matter, changes, keys);
}

/**
 * @param {SyncedDevice} synced
 * @param {string | undefined} sha256
 * @param {object} matter
 * @param {Record<string, unknown>} changes
 * @param {Unlocked} keys
 */
async function signed(synced, sha256, matter, changes, keys) {
  const wanted = Object.fromEntries(Object.entries({ ...matter, ...changes }).filter(([, value]) => value !== null));
  await signAndSubmit("settings", synced.device, { previous: sha256, ...wanted }, keys.approval);
  await syncAfter();
}

// What an owner sets over the doorbell's configuration: one signed statement, whole (agent/clients/owner/device_settings.py).
import { OpenError } from "../errors.js";
import { ask } from "../link.js";
import { utf8 } from "../wire/bytes.js";
import { open, payloadType } from "../wire/envelope.js";
import { settings as isSettings, STATEMENT_ENVELOPE_LIMIT, STATEMENT_LIMIT } from "../wire/messages.js";
import { decode } from "../wire/strictjson.js";
import { approversEver, meet } from "./meeting.js";
import { state } from "./stating.js";

/** @import { Met, Unlocked } from "../types.js" */

const MATTER = ["name", "position", "sensitivity_percent", "zones", "max_bytes", "max_age_days", "quiet", "private"];

/**
 * `{sha256, matter}`: what is set.  Throws OpenError when nobody signed it who was an owner of this doorbell at any
 * time: what one set who has left since stays in force, so that no mask has to be given up to change something else.
 *
 * @param {Met} met
 */
export async function readSettings(met) {
  const { envelope, sha256 } = await ask("settings");
  if (!envelope) return { sha256: undefined, matter: {} };
  let claimed;
  try {
    claimed = await open(
      utf8(envelope),
      payloadType("settings"),
      await approversEver(met.known),
      STATEMENT_ENVELOPE_LIMIT,
    );
  } catch {
    throw new OpenError("error.settings");
  }
  const value = isSettings(decode(claimed.payload, STATEMENT_LIMIT));
  return {
    sha256,
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
  const met = await meet();
  const { sha256, matter } = await readSettings(met);
  await signed(met, sha256, matter, changes, keys);
}

/**
 * @param {Met} met
 * @param {string | undefined} sha256
 * @param {object} matter
 * @param {Record<string, unknown>} changes
 * @param {Unlocked} keys
 */
async function signed(met, sha256, matter, changes, keys) {
  const wanted = Object.fromEntries(Object.entries({ ...matter, ...changes }).filter(([, value]) => value !== null));
  await state("settings", met.device, { previous: sha256, ...wanted }, keys.approval);
  await meet();
}

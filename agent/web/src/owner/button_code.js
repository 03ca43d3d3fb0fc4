// The code that a long press of the button makes (agent/custodian/page/button_code.py). The doorbell gives it to each
// caller, sealed: an owner's key or the recovery kit opens it.
import { OpenError } from "../errors.js";
import { open } from "../wire/age.js";
import { fromUtf8 } from "../wire/bytes.js";

/** @import { Bytes } from "../types.js" */

const FORM = /^doorward-button-code:([0-9A-HJKMNP-TV-Z]{10})$/;

/**
 * The code in `sealed`. The answer goes back to the doorbell, so nothing but a code is given back: an altered doorbell
 * could offer a sealed clip or request in its place.
 *
 * @param {Bytes} sealed
 * @param {string} identity
 * @returns {Promise<string>}
 */
export async function openButtonCode(sealed, identity) {
  let text;
  try {
    text = fromUtf8(await open(sealed, identity));
  } catch {
    throw new OpenError("error.button-code");
  }
  const found = FORM.exec(text);
  if (!found) throw new OpenError("error.button-code");
  return found[1];
}

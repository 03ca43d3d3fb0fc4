// Signs an owner's statement and hands it to the doorbell (agent/owner/stating.py).
import { ask } from "../link.js";
import { concat } from "../wire/bytes.js";
import { payloadType, seal } from "../wire/envelope.js";
import { encode } from "../wire/strictjson.js";

/** The doorbell gives out what makes a statement good once and soon. */
export async function statement(kind, device, matter, approval, nowMs = Date.now()) {
  const { nonce } = await ask("nonce");
  const value = { v: 1, device: device.text, owner_time_ms: nowMs, nonce, ...matter };
  return seal(payloadType(kind), encode(value), approval);
}

export async function state(kind, device, matter, approval, headers = []) {
  const envelope = await statement(kind, device, matter, approval);
  return ask("statement", { envelope, sizes: headers.map((header) => header.length) }, concat(...headers));
}

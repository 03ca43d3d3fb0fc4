// Signs an owner's statement and hands it to the doorbell (agent/owner/stating.py).
import { ask } from "../link.js";
import { concat, hex, randomBytes } from "../wire/bytes.js";
import { payloadType, seal } from "../wire/envelope.js";
import { encode } from "../wire/strictjson.js";

export async function statement(kind, device, matter, approval, nowMs = Date.now()) {
  const value = { v: 1, device: device.text, owner_time_ms: nowMs, nonce: hex(randomBytes(16)), ...matter };
  return seal(payloadType(kind), encode(value), approval);
}

export async function state(kind, device, matter, approval, headers = []) {
  const envelope = await statement(kind, device, matter, approval);
  return ask("statement", { envelope, sizes: headers.map((header) => header.length) }, concat(...headers));
}

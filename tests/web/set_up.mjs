// Writes set-up codes as the set-up page does, for tests/web/test_set_up.py.
import { PageError } from "../../agent/web/src/errors.js";
import { fromHex, isProven, pairingCode, textOf } from "../../agent/web/src/set_up/code.js";
import { SYSTEMS, systemOf } from "../../agent/web/src/set_up/systems.js";

/** @typedef {Record<"secret" | "ssid" | "password" | "name" | "country" | "zone", string>} Fields */

/** @type {{ codes: Fields[], refused: Fields[], authority: string, proof: string, agents: [string, number][] }} */
const { codes, refused, authority, proof, agents } = JSON.parse(process.argv[2]);
const made = codes.map((fields) => {
  const secret = fromHex(fields.secret);
  return { text: textOf({ ...fields, secret }), pairing: pairingCode(secret) };
});
const faults = refused.map((fields) => {
  try {
    textOf({ ...fields, secret: fromHex(fields.secret) });
    return "";
  } catch (error) {
    return error instanceof PageError ? error.text : String(error);
  }
});
const secret = fromHex(codes[0].secret);
const proven = [
  isProven(secret, fromHex(authority), proof),
  isProven(secret, fromHex(`${authority}00`), proof),
  isProven(fromHex("00".repeat(16)), fromHex(authority), proof),
];
const systems = agents.map(([agent, touchPoints]) => systemOf(agent, touchPoints));
process.stdout.write(JSON.stringify({ made, faults, proven, systems, steps: SYSTEMS }));

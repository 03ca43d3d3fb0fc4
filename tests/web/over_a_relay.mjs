// The page's client in a session over a real relay: [[op, head], …] of the last argument, and what came of each.
import "./globals.mjs";
import { openSession } from "../../agent/web/src/link_session.js";
import { openCarrier } from "../../agent/web/src/mqtt_carrier.js";
import { hex, sha256, unhex } from "../../agent/web/src/wire/bytes.js";
import { parseKey, publicKeyOfSeed, sign } from "../../agent/web/src/wire/keys.js";
import { addressOf } from "../../agent/web/src/wire/link.js";

const { relay, secret, device, seed, asked } = JSON.parse(process.argv[2]);
const told = [];
try {
  const session = await openSession({
    carrier: await openCarrier(relay, addressOf(unhex(secret))),
    secret: unhex(secret),
    device: await parseKey(device),
    own: await publicKeyOfSeed(unhex(seed)),
    sign: (message) => sign(unhex(seed), message),
  });
  const one = async ([op, head]) => {
    const { result, body } = await session.fetchOp(op, head);
    return { result, body: [body.length, hex(await sha256(body))] };
  };
  told.push(...(await Promise.all(asked.map(one))));
  session.close();
} catch (error) {
  told.push({ error: error.text ?? String(error) });
}
process.stdout.write(JSON.stringify(told), () => process.exit(0));

// A client of the link with the page's own modules. Frames go over standard input and output, each after its length.
// Arguments: the secret, the doorbell's key, the client's seed, and the operations to ask for: [[op, head, bytes], …].
import "./globals.mjs";
import { openSession } from "../../agent/web/src/link_session.js";
import { hex, sha256, unhex } from "../../agent/web/src/wire/bytes.js";
import { parseKey, publicKeyOfSeed, sign } from "../../agent/web/src/wire/keys.js";

const [secret, device, seed, asked] = process.argv.slice(2);
/** @type {import("../../agent/web/src/link_session.js").Carrier} */
const carrier = {
  onframe() {},
  onclose() {},
  send(frame) {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(frame.length);
    process.stdout.write(Buffer.concat([size, frame]));
  },
  close() {
    process.stdin.destroy();
  },
};
let rest = Buffer.alloc(0);
process.stdin.on("data", (data) => {
  rest = Buffer.concat([rest, data]);
  while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
    const end = 4 + rest.readUInt32BE(0);
    const frame = new Uint8Array(rest.subarray(4, end));
    rest = rest.subarray(end);
    carrier.onframe(frame);
  }
});
process.stdin.on("end", () => carrier.onclose());

const told = [];
try {
  const own = await publicKeyOfSeed(unhex(seed));
  const session = await openSession({
    carrier,
    secret: unhex(secret),
    device: await parseKey(device),
    own,
    sign: (message) => sign(unhex(seed), message),
  });
  const answers = JSON.parse(asked).map(async ([op, head, bytes]) => {
    try {
      const { result, body } = await session.fetchOp(op, head, new Uint8Array(bytes).fill(7));
      return { result, body: [body.length, hex(await sha256(body))] };
    } catch (error) {
      return { error: error.name, text: error.text, said: error.said };
    }
  });
  told.push(...(await Promise.all(answers)));
  session.close();
} catch (error) {
  told.push({ error: error.name, text: error.text });
}
process.stderr.write(JSON.stringify(told));

// The page's end of the link against the vectors: what it makes and reads of them.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { hex, unhex } from "../../agent/web/src/wire/bytes.js";
import { publicKeyOfSeed, sign } from "../../agent/web/src/wire/keys.js";
import { addressOf, ClientHandshake } from "../../agent/web/src/wire/link.js";

const folder = process.argv[2];
const vectors = (name) => JSON.parse(readFileSync(`${folder}/${name}.json`, "utf8"));
const sessions = vectors("sessions");

function begun(session) {
  return new ClientHandshake(unhex(session.secret), unhex(session.client_x25519), unhex(session.client_mlkem_seed));
}

async function finished(session, answer) {
  const [device, own] = await Promise.all([session.device_seed, session.client_seed].map(unhex).map(publicKeyOfSeed));
  return begun(session).finish(answer, device, own, (message) => sign(unhex(session.client_seed), message));
}

const made = [];
for (const session of sessions) {
  const { proof, session: open } = await finished(session, unhex(session.answer));
  const heard = open.receive(unhex(session.to_client[0].record));
  open.ping();
  made.push({
    address: addressOf(unhex(session.secret)),
    hello: hex(begun(session).hello),
    proof: hex(proof),
    read: [heard ?? null, open.received],
    record: hex(open.nextFrame()),
  });
}
const refused = [];
for (const each of vectors("refused").filter(({ message }) => message === "answer")) {
  let answer = unhex(sessions[0].answer);
  if ("length" in each) {
    const other = new Uint8Array(answer.length + each.length);
    other.set(answer.subarray(0, other.length));
    answer = other;
  } else answer[each.flip_lowest_bit_of_byte] ^= 1;
  refused.push(
    await finished(sessions[0], answer).then(
      () => "taken",
      (error) => error.name,
    ),
  );
}
process.stdout.write(JSON.stringify({ made, refused }));

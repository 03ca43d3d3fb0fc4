// Altered frames at the browser's end of the link: each is ignored, and the session goes on as if it had not come.
import "./globals.mjs";
import { LinkSession } from "../../agent/web/src/wire/link.js";

const COUNT = Number(process.argv[2]);
let state = 17;
/** @param {number} below */
const draw = (below) => {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  return (state >>> 8) % below;
};
const [one, other] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
const [device, client] = [new LinkSession(one, other), new LinkSession(other, one)];
/** @param {LinkSession} from */
const framesOf = (from) => {
  const found = [];
  for (let next = from.nextFrame(); next; next = from.nextFrame()) found.push(next);
  return found;
};
device.send(1, new TextEncoder().encode("an answer"), true);
device.send(2, new Uint8Array(900), true);
device.ping();
const originals = framesOf(device);
const mirrored = new LinkSession(other, one);
mirrored.ping();
originals.push(...framesOf(mirrored));
const known = new Set(originals.map(String));
let heard = 0;
for (let number = 0; number < COUNT; number++) {
  let mutant = originals[draw(originals.length)].slice();
  if (number % 5 === 0) mutant[draw(mutant.length)] ^= 1 << draw(8);
  else if (number % 5 === 1) mutant.set(Uint8Array.of(draw(2), draw(256), draw(256), draw(256)), 5);
  else if (number % 5 === 2) mutant = mutant.slice(0, draw(mutant.length));
  else if (number % 5 === 3) for (let at = 9; at < mutant.length; at += 1 + draw(9)) mutant[at] = draw(256);
  else mutant = Uint8Array.from({ length: [1, 9, 25, 256, 257, 1024][draw(6)] }, () => draw(256));
  if (known.has(String(mutant))) continue;
  if (client.receive(mutant) !== undefined || client.received || client.ended !== undefined) heard++;
}
const answers = originals.slice(0, 3).map((frame) => client.receive(frame));
process.stdout.write(
  JSON.stringify({
    heard,
    received: client.received,
    answers: answers.map((each) => each && "data" in each && [each.stream, each.data.length, each.last]),
  }),
);

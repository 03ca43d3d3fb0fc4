// The page's carrier against a relay that this file plays: what it sends, and what it makes of each answer.
import "./globals.mjs";
import { openCarrier } from "../../agent/web/src/mqtt_carrier.js";
import { hex } from "../../agent/web/src/wire/bytes.js";

const RELAY = { url: "wss://relay.example/", account: "front", password: "correct horse" };
const ADDRESS = "ab".repeat(16);
const bytes = (...parts) => Uint8Array.from(parts.flatMap((each) => (typeof each === "number" ? each : [...each])));
const accepted = (most) => bytes(0x20, most ? 6 : 3, 0, 0, most ? [3, 0x21, 0, most] : 0);
const subscribed = (code) => bytes(0x90, 4, 0, 1, 0, code);

/** A socket of the browser's, with the relay at its other end. */
class Socket {
  readyState = 0;
  sent = [];
  closed = 0;
  onopen() {}
  onmessage(_event) {}
  onclose() {}

  constructor(url, protocol, answers) {
    this.url = url;
    this.protocol = protocol;
    this.answers = answers;
    setTimeout(() => {
      this.readyState = 1;
      this.onopen();
    });
  }

  send(data) {
    this.sent.push(data);
    const type = data[0] & 0xf0;
    const answer = this.answers[{ 16: "connect", 128: "subscribe", 48: "publish" }[type] ?? ""];
    if (answer) setTimeout(() => this.readyState === 1 && this.say(answer(data)));
  }

  say(data) {
    if (data) this.onmessage({ data: typeof data === "string" ? data : data.slice().buffer });
  }

  close() {
    this.closed += 1;
    this.readyState = 3;
  }
}

/** The acknowledgement of a message: its number follows the topic. */
function taken(packet) {
  let at = 1;
  while (packet[at] >= 128) at++;
  const number = at + 3 + packet[at + 2];
  return bytes(0x40, 2, packet.slice(number, number + 2));
}
const all = { connect: () => accepted(2), subscribe: () => subscribed(1), publish: taken };
const told = {};

/** @returns {Promise<any>} */
async function meet(answers) {
  /** @type {any} */
  let socket;
  const make = (url, protocol) => {
    socket = new Socket(url, protocol, answers);
    return socket;
  };
  try {
    const carrier = await openCarrier(RELAY, ADDRESS, make);
    const heard = [];
    carrier.onframe = (frame) => heard.push(hex(frame));
    carrier.onclose = () => heard.push("closed");
    return { carrier, socket, heard };
  } catch (error) {
    return { error: error.text, socket };
  }
}
const settle = () => new Promise((resolve) => setTimeout(resolve, 30));

{
  const { carrier, socket, heard } = await meet(all);
  for (let n = 0; n < 5; n++) carrier.send(bytes(n, new Array(n === 4 ? 20_000 : 0).fill(7)));
  const atOnce = socket.sent.length;
  await settle();
  const topic = new TextDecoder().decode(socket.sent[1].slice(7, 7 + socket.sent[1][6]));
  // A frame in two pieces, a packet of QoS 0, and a ping's answer between them.
  const name = topic.split("").map((each) => each.charCodeAt(0));
  const publish = bytes(0x32, 2 + name.length + 2 + 1 + 3, 0, name.length, name, 0, 9, 0, 1, 2, 3);
  socket.say(publish.slice(0, 1));
  socket.say(publish.slice(1, 40));
  socket.say(bytes(publish.slice(40), [0xd0, 0], 0x30, 2 + name.length + 1 + 2 + 1, 0, name.length, name, 2, 1, 0, 5));
  carrier.close();
  carrier.send(bytes(1));
  told.good = {
    url: socket.url,
    protocol: socket.protocol,
    connect: hex(socket.sent[0]),
    topic,
    subscribe: hex(socket.sent[1].slice(0, 7)),
    options: socket.sent[1].at(-1),
    atOnce,
    frames: socket.sent.filter((each) => each[0] === 0x32).map((each) => [each.length, each.at(-1)]),
    acknowledged: socket.sent.filter((each) => each[0] === 0x40).map(hex),
    last: hex(socket.sent.at(-1)),
    heard,
    closed: socket.closed,
  };
}
const faults = {
  "a wrong password": { ...all, connect: () => bytes(0x20, 3, 0, 0x86, 0) },
  "a full relay": { ...all, connect: () => bytes(0x20, 3, 0, 0x97, 0) },
  "a topic that is not allowed": { ...all, subscribe: () => subscribed(0x87) },
  "a text": { ...all, connect: () => "hello" },
  "a packet that is too large": { ...all, connect: () => bytes(0x30, 0xff, 0xff, 0xff, 0x7f) },
  "a length without an end": { ...all, connect: () => bytes(0x30, 0xff, 0xff, 0xff, 0xff) },
  "an empty acknowledgement": { ...all, connect: () => bytes(0x20, 0) },
  "a disconnection": { ...all, connect: () => bytes(0xe0, 0) },
};
for (const [name, answers] of Object.entries(faults)) {
  const { error, socket } = await meet(answers);
  told[name] = [error, socket.closed];
}
const later = {
  "the doorbell is not at the relay": (socket) => socket.say(bytes(0x40, 3, 0, 2, 0x10)),
  "a frame is refused": (socket) => socket.say(bytes(0x40, 3, 0, 2, 0x87)),
  "a topic longer than its packet": (socket) => socket.say(bytes(0x32, 4, 0xff, 0xff, 0, 0)),
  "the connection ends": (socket) => socket.onclose(),
};
for (const [name, happen] of Object.entries(later)) {
  const { carrier, socket, heard } = await meet({ ...all, publish: undefined });
  carrier.send(bytes(1));
  happen(socket);
  told[name] = [heard, socket.closed];
}
{
  const { carrier, socket, heard } = await meet({ ...all, publish: undefined });
  for (let n = 0; n < 600; n++) carrier.send(bytes(1));
  told["a relay that takes nothing"] = [heard, socket.sent.filter((each) => each[0] === 0x32).length];
}
process.stdout.write(JSON.stringify(told));
process.exit(0);

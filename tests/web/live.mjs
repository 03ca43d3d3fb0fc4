// Live view's order and its distance from the newest part; when each picture is shown; frames and samples.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { decoderOf, fragmentsOf, samplesOf } from "../../agent/web/src/media/fmp4.js";
import { Jitter } from "../../agent/web/src/media/jitter.js";
import { catchUp, fromKeyframe, LiveOrder } from "../../agent/web/src/media/live_edge.js";
import { hex, unbase64, unhex } from "../../agent/web/src/wire/bytes.js";
import { LiveOpener } from "../../agent/web/src/wire/live.js";
import { frameOpener, readFrameHeader } from "../../agent/web/src/wire/sframe.js";

/**
 * A part of `start`…`end` seconds, filmed `ago` ms ago.
 *
 * @returns {any}
 */
const part = (start, end, continues = false, { boot = "a", ago = 0, quality = "synced" } = {}) => ({
  order: [boot, start * 1e6, end * 1e6],
  span: { start: 0, end: 1e9 - ago, quality },
  continues,
});
/** @param {any[]} parts */
function taken(...parts) {
  const order = new LiveOrder();
  return parts.map((each) => (typeof each === "string" ? order[each]() : order.take(each, 1e9)));
}
/** The place and rate of a player that shows `at` and has the stretches `ranges`. */
function follows(at, ...ranges) {
  const buffered = { length: ranges.length, start: (i) => ranges[i][0], end: (i) => ranges[i][1] };
  const video = { buffered, currentTime: at, playbackRate: 1 };
  catchUp(/** @type {any} */ (video));
  return [Number(video.currentTime.toFixed(3)), video.playbackRate];
}
const joined = (...continues) =>
  fromKeyframe(continues.map((each, i) => part(i, i + 1, each))).map(({ order }) => order[1] / 1e6);
const rfc = JSON.parse(readFileSync(new URL("../vectors/sframe/rfc9605.json", import.meta.url), "utf8"));
const headers = rfc.header.filter(({ kid, ctr, encoded }) => {
  const found = readFrameHeader(unhex(encoded));
  return Number(found.kid) === kid && Number(found.ctr) === ctr && found.at === encoded.length / 2;
});
const [vector] = rfc.sframe;
const opens = await frameOpener(unhex(vector.base_key), BigInt(vector.kid));
const isRefused = (made) => made.then(() => false).catch(() => true);
const [given] = process.argv.slice(2).map((each) => JSON.parse(each));
const opener = new LiveOpener(given.identity, given.device);
const opened = [];
for (const each of given.parts) opened.push(await opener.open(unbase64(each)));
const toOthers = () => new LiveOpener(given.identity, given.device, { isNewcomer: true });

/** How long each picture waits; they are taken every 66 ms, and `ways` is how long each was on its way. */
function waits(...ways) {
  const jitter = new Jitter();
  return ways.map((way, i) => Math.round(jitter.due(5e6 + i * 66, i * 66 + way) - (i * 66 + way)));
}
process.stdout.write(
  JSON.stringify({
    headers: [headers.length, rfc.header.length],
    frame: hex(await opens(unhex(vector.ct), unhex(vector.metadata))) === vector.pt,
    refused: {
      metadata: await isRefused(opens(unhex(vector.ct))),
      cut: await isRefused(opens(unhex(vector.ct.slice(0, -2)), unhex(vector.metadata))),
      spelling: await isRefused((async () => readFrameHeader(unhex("0807")))()),
      device: await isRefused(new LiveOpener(given.identity, "0".repeat(16)).open(unbase64(given.parts[0]))),
      continued: await isRefused(new LiveOpener(given.identity, given.device).open(unbase64(given.parts[1]))),
      others: await isRefused(new LiveOpener(given.identity, given.device).open(unbase64(given.others))),
    },
    skipped: [
      (await toOthers().open(unbase64(given.others))) ?? null,
      (await toOthers().open(unbase64(given.parts[1]))) ?? null,
    ],
    parts: opened.map(({ media, continues, order }) => [
      continues,
      order[1],
      samplesOf(fragmentsOf(media)).map(({ at, isKey, data }) => [at, isKey, data.length]),
    ]),
    codec: decoderOf(opened[0].media).codec.slice(0, 5),
    even: waits(40, 40, 40, 40),
    uneven: waits(40, 100, 40, 40),
    veryUneven: waits(40, 290, 40),
    joined: waits(1000, 934, 868, 40, 40),
    slower: waits(40, ...Array(100).fill(90)).at(-1),
    otherClock: waits(40, 40, -9e6, -9e6),
    joins: [joined(true, false, true, false, true), joined(false, true), joined(true, true), joined()],
    inOrder: taken(part(1, 2), part(2, 2.2, true), part(2.2, 3, true), part(3, 4)),
    joinedLate: taken(part(1, 2, true), part(2, 3, true), part(3, 4), part(4, 5, true)),
    partLost: taken(part(1, 2), part(2.2, 3, true), part(3, 4, true), part(4, 5)),
    repeated: taken(part(1, 2), part(2, 3), part(1, 2), part(2, 3), part(3, 4)),
    otherBoot: taken(part(5, 6), part(1, 2, true, { boot: "b" }), part(2, 3, false, { boot: "b" })),
    old: taken(part(1, 2, false, { ago: 30_001 }), part(1, 2, false, { ago: 30_000 })),
    doubtful: taken(part(1, 2, false, { ago: 9e6, quality: "unknown" })),
    restarted: taken(part(1, 2), "restart", part(2, 3, true), part(3, 4)),
    changed: taken(part(1, 2), "change", part(2, 3, true), part(1.5, 2.5), part(2.5, 3, true), part(1, 2)),
    close: follows(9.7, [0, 10]),
    behind: follows(9.6, [0, 10]),
    lost: follows(8.4, [0, 10]),
    lostInShort: follows(0, [9.9, 11]),
    hole: follows(9.2, [0, 9.2], [9.4, 9.5]),
    nothing: follows(3),
  }),
);

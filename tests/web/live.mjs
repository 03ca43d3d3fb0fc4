// Live view's order and its distance from the newest part.
import "./globals.mjs";
import { catchUp, fromKeyframe, LiveOrder } from "../../agent/web/src/media/live_edge.js";

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
  return parts.map((each) => (each === "restart" ? order.restart() : order.take(each, 1e9)));
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
process.stdout.write(
  JSON.stringify({
    joins: [joined(true, false, true, false, true), joined(false, true), joined(true, true), joined()],
    inOrder: taken(part(1, 2), part(2, 2.2, true), part(2.2, 3, true), part(3, 4)),
    joinedLate: taken(part(1, 2, true), part(2, 3, true), part(3, 4), part(4, 5, true)),
    partLost: taken(part(1, 2), part(2.2, 3, true), part(3, 4, true), part(4, 5)),
    repeated: taken(part(1, 2), part(2, 3), part(1, 2), part(2, 3), part(3, 4)),
    otherBoot: taken(part(5, 6), part(1, 2, true, { boot: "b" }), part(2, 3, false, { boot: "b" })),
    old: taken(part(1, 2, false, { ago: 30_001 }), part(1, 2, false, { ago: 30_000 })),
    doubtful: taken(part(1, 2, false, { ago: 9e6, quality: "unknown" })),
    restarted: taken(part(1, 2), "restart", part(2, 3, true), part(3, 4)),
    close: follows(9.7, [0, 10]),
    behind: follows(9.6, [0, 10]),
    lost: follows(8.4, [0, 10]),
    lostInShort: follows(0, [9.9, 11]),
    hole: follows(9.2, [0, 9.2], [9.4, 9.5]),
    nothing: follows(3),
  }),
);

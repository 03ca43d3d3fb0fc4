// The minutes without a tap after which the page locks its keys: without a film, and while one plays. Then a tap, a
// look or a key after a time in which no timer ran, by one clock or the other.
import { Activity, isAbandoned, lockWhenIdle } from "../../agent/web/src/ui/idle.js";

const MINUTE = 60_000;
const minutes = Array.from({ length: 24 * 60 }, (_, minute) => minute);
const first = (isPlaying) => minutes.find((minute) => isAbandoned(minute * MINUTE, isPlaying)) ?? null;

globalThis.setInterval = /** @type {any} */ (() => 0); // the system has frozen the page
/**
 * @param {string} event the first thing after the pause
 * @param {number[]} passed minutes by the time of day, and by the running time
 * @param {boolean} [isOpen]
 */
function after(event, passed, isOpen = true) {
  const now = [1000 * MINUTE, 5 * MINUTE];
  const page = new EventTarget();
  let locks = 0;
  const lock = () => (locks += 1);
  const activity = new Activity(now.map((_, i) => () => now[i]));
  lockWhenIdle({ isOpen: () => isOpen, isPlaying: () => false, lock }, activity, page);
  for (const [i, each] of passed.entries()) now[i] += each * MINUTE;
  const happened = new Event(event, { cancelable: true });
  page.dispatchEvent(happened);
  page.dispatchEvent(new Event("visibilitychange"));
  return { locks, isTaken: happened.defaultPrevented, idleMinutes: activity.idleMs / MINUTE };
}
console.log(
  JSON.stringify({
    minutes: [first(false), first(true)],
    "a tap in time": after("pointerdown", [14, 14]),
    "a tap after a sleep": after("pointerdown", [16, 0]),
    "a key after a sleep": after("keydown", [16, 0]),
    "a look after a sleep": after("pageshow", [16, 0]),
    "a tap after the clock was set back": after("pointerdown", [-500, 16]),
    "a tap on a page without open keys": after("pointerdown", [16, 16], false),
  }),
);

// Decides when the page locks its keys because its owner seems to have left, and locks them then.
//
// A phone freezes a page in the background, and its timers with it. Hours later, the first tap comes before any timer.
// So a tap is only a use of the page if the page would not have locked before it.

const LOCK_AFTER_MS = 15 * 60_000;
/** A viewer of a film or of live view taps nothing. Live view never ends, so one that was left on locks in the end. */
const LOCK_PLAYING_AFTER_MS = 60 * 60_000;
const LOOK_MS = 30_000;

/**
 * @param {number} idleMs since the last tap or key
 * @param {boolean} isPlaying a film or live view plays
 */
export const isAbandoned = (idleMs, isPlaying) => idleMs >= (isPlaying ? LOCK_PLAYING_AFTER_MS : LOCK_AFTER_MS);

/**
 * When the page was last used, by two clocks. The running time may stand still while a phone sleeps, and the time of
 * day may be set back.
 */
export class Activity {
  #clocks;
  #last;

  /** @param {(() => number)[]} clocks in ms */
  constructor(clocks = [() => Date.now(), () => performance.now()]) {
    this.#clocks = clocks;
    this.#last = clocks.map((now) => now());
  }

  note() {
    this.#last = this.#clocks.map((now) => now());
  }

  get idleMs() {
    return Math.max(...this.#clocks.map((now, i) => now() - this.#last[i]));
  }
}

/**
 * Locks the page after a time without a tap or key.
 *
 * @param {{ isOpen: () => boolean, isPlaying: () => boolean, lock: () => unknown }} page `isOpen`: keys may be unlocked
 * @param {Activity} activity
 * @param {EventTarget} target
 */
export function lockWhenIdle({ isOpen, isPlaying, lock }, activity = new Activity(), target = globalThis) {
  const look = () => {
    const isDue = isOpen() && isAbandoned(activity.idleMs, isPlaying());
    if (isDue) {
      activity.note();
      lock();
    }
    return isDue;
  };
  /** @param {Event} event */
  const use = (event) => {
    if (look())
      event.preventDefault(); // it was meant for what was shown before
    else activity.note();
  };
  for (const name of ["pointerdown", "keydown"]) target.addEventListener(name, use, { capture: true });
  for (const name of ["visibilitychange", "pageshow", "focus"]) target.addEventListener(name, look);
  setInterval(look, LOOK_MS);
}

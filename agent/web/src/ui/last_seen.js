// When the doorbell last answered this browser, so that a page without an answer can say so at once. A time only, kept
// over restarts.
import { clock, dateAndClock, isOneDay } from "./texts.js";

const PLACE = "last-seen";

/** The doorbell has answered now. */
export function noteAnswer() {
  localStorage.setItem(PLACE, String(Date.now()));
}

/** The time of the last answer, in words, or undefined before the first one. */
export function lastSeen() {
  return timeOf(Number(localStorage.getItem(PLACE)));
}

/**
 * A time of the past in words; undefined for none.
 *
 * @param {number} at
 */
export function timeOf(at) {
  if (!at) return undefined;
  return isOneDay(at, Date.now()) ? clock(at) : dateAndClock(at);
}

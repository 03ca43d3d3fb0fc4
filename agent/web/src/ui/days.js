// Days of a timeline, in local time, and the events and gaps in them.

/** @import { Answer } from "../types.js" */

/** @typedef {{ start_ms: number, end_ms: number }} Span */
/** @typedef {{ at: number, to: number, reason: string }} Gap a span without footage; an open one lasts until now */

/** An event this near to the slider, in ms, is the one that is meant: a finger on a phone is that exact. */
const NEAR_MS = 360_000;

/**
 * The beginning of the day of that time, by the browser's clock.
 *
 * @param {number} ms
 */
export const dayOf = (ms) => new Date(ms).setHours(0, 0, 0, 0);

/**
 * The day that is `count` days after `day`. Days of 23 and 25 hours count as one.
 *
 * @param {number} day
 * @param {number} count
 */
export const dayAfter = (day, count) => {
  const at = new Date(day);
  return new Date(at.getFullYear(), at.getMonth(), at.getDate() + count).getTime();
};

/**
 * Gaps with the ends that are known. If a power cut left a gap open, it ends where the next record begins.
 *
 * @param {{ events: Span[], gaps: Answer[] }} found
 * @param {number} now
 * @returns {Gap[]}
 */
export function closedGaps({ events, gaps }, now) {
  const starts = [...events, ...gaps].map((each) => each.start_ms).sort((a, b) => a - b);
  return gaps.map(({ start_ms: at, end_ms: to, reason }) => {
    const end = to === at ? (starts.find((start) => start > at) ?? now) : to;
    return { at, to: Math.max(at, end), reason };
  });
}

/**
 * The event at that time, or the nearest one; undefined if all are far.
 *
 * @param {Answer[]} events
 * @param {number} at
 * @returns {Answer | undefined}
 */
export function eventAt(events, at) {
  /** @param {Answer} event */
  const distance = (event) => Math.max(event.start_ms - at, at - event.end_ms, 0);
  /** @type {Answer | undefined} */
  let best;
  for (const event of events) {
    if (distance(event) <= NEAR_MS && (!best || distance(event) < distance(best))) best = event;
  }
  return best;
}

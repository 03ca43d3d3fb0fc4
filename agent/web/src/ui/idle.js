// Decides when the page locks its keys because its owner seems to have left.

const LOCK_AFTER_MS = 15 * 60_000;
/** A viewer of a film or of live view taps nothing. Live view never ends, so one that was left on locks in the end. */
const LOCK_PLAYING_AFTER_MS = 60 * 60_000;

/**
 * @param {number} idleMs since the last tap or key
 * @param {boolean} isPlaying a film or live view plays
 */
export const isAbandoned = (idleMs, isPlaying) => idleMs >= (isPlaying ? LOCK_PLAYING_AFTER_MS : LOCK_AFTER_MS);

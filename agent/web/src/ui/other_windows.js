// Several windows of one browser can show the page. Each has a worker with its own open keys.

const LOCK = "lock";
const others = new BroadcastChannel("doorward");

/** Asks the other windows to lock their keys. */
export const lockOthers = () => others.postMessage(LOCK);

/** @param {() => unknown} lock is called when another window asks for it */
export const onLock = (lock) => {
  others.onmessage = ({ data }) => data === LOCK && lock();
};

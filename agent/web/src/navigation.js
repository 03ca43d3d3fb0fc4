// Moves to another page, and locks the keys. app.js imports the pages, and the pages import this module. app.js hands
// in its `show` at the start, which avoids an import cycle.
import { call } from "./ui/client.js";
import { lockOthers } from "./ui/other_windows.js";
import { forgetPosters } from "./ui/posters.js";
import { endSubscription } from "./ui/subscription.js";

let show = async () => {};

/**
 * Sets the function that shows the page of the current address.
 *
 * @param {() => Promise<void>} shower
 */
export function showWith(shower) {
  show = shower;
}

/**
 * Shows another address of the page.
 *
 * @param {string} path
 * @param {{ replace?: boolean }} [options]
 */
export function go(path, { replace = false } = {}) {
  if (document.body.dataset.section === "pair") {
    location.assign(path); // the way in has no navigation around it
    return Promise.resolve();
  }
  globalThis.history[replace ? "replaceState" : "pushState"](null, "", path);
  return show();
}

/** Locks the keys, and forgets the opened stills: decrypted pictures must not outlive the keys in this browser. */
export async function lock() {
  const locked = call("lock");
  forgetPosters();
  // At once: the next page waits for the doorbell, which may be off.
  document.querySelector("main")?.replaceChildren();
  await locked;
  await show();
}

/** Locks the keys in every window of this browser. */
export async function lockEverywhere() {
  lockOthers();
  await lock();
}

/**
 * Deletes the keys from this browser for good, in every window, and ends its alerts: its next user must not hear when a
 * visitor rings.
 */
export async function removeKeys() {
  await endSubscription().catch(() => {}); // such as a push service out of reach: the keys go anyway
  await call("removeKeys");
  forgetPosters();
  lockOthers();
}

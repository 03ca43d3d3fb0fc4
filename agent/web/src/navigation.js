// Moves to another page, and locks the keys. app.js imports the pages, and the pages import this module. app.js hands
// in its `show` at the start, which avoids an import cycle.
import { call } from "./ui/client.js";
import { forgetPosters } from "./ui/posters.js";

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
  await call("lock");
  forgetPosters();
  await show();
}

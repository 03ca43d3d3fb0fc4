// Changes of what this browser remembers of a doorbell (agent/clients/owner/known_devices.py). Several tabs may change
// it at once: each change starts from what is stored at that moment, and nothing becomes older by it.
import * as store from "./store.js";

/** @import { Known, Newest, Seen } from "../types.js" */

/**
 * @param {string} device
 * @param {Pick<Known, "enrolments" | "checkpoint">} shown by the doorbell, and verified
 */
export const rememberShown = (device, shown) => store.change(device, (known) => newerOf(known, shown));

/**
 * @param {string} device
 * @param {Newest} seen
 */
export const rememberBundles = (device, seen) =>
  store.change(device, (known) => ({ ...known, bundles: newestOfEach(known.bundles, seen) }));

/**
 * @param {string} device
 * @param {string[]} roots
 */
export const addRoots = (device, roots) =>
  store.change(device, (known) => ({ ...known, roots: [...new Set([...known.roots, ...roots])] }));

/**
 * @param {string} device
 * @param {string} root
 */
export const removeRoot = (device, root) =>
  store.change(device, (known) => ({ ...known, roots: known.roots.filter((each) => each !== root) }));

/**
 * Notes the hash of a first list of owners that this owner signs for a doorbell that lost its owners. An earlier one
 * stays: its answer may have been lost, or another tab may be at it.
 *
 * @param {string} device
 * @param {string} claim
 */
export const rememberClaim = (device, claim) =>
  store.change(device, (known) => ({ ...known, claims: [...(known.claims ?? []), claim] }));

/**
 * Another tab may have seen a longer ledger or a further list of owners meanwhile. A doorbell that shows its owners
 * again has not lost them, so no first list may take their place any more.
 *
 * @param {Known} known
 * @param {Pick<Known, "enrolments" | "checkpoint">} shown
 */
function newerOf(known, { enrolments, checkpoint }) {
  return {
    ...known,
    claims: undefined,
    enrolments: enrolments.length < known.enrolments.length ? known.enrolments : enrolments,
    checkpoint: sizeOf(checkpoint) < sizeOf(known.checkpoint) ? known.checkpoint : checkpoint,
  };
}

/** @param {string} note a signed checkpoint: its second line is the size */
const sizeOf = (note) => Number(note.split("\n")[1]);

/**
 * @param {Newest} before
 * @param {Newest} now
 * @returns {Newest}
 */
function newestOfEach(before, now) {
  const newer = Object.entries(now).filter(([root, seen]) => !before[root] || !isOlder(seen, before[root]));
  return { ...before, ...Object.fromEntries(newer) };
}

/**
 * @param {Seen} one
 * @param {Seen} other
 */
function isOlder(one, other) {
  const by = [one.root_version - other.root_version, one.version - other.version, one.timestamp - other.timestamp];
  return (by.find((difference) => difference !== 0) ?? 0) < 0;
}

// Finds the entries of the ledger that belong to one request.

/** @import { Entry } from "../types.js" */

/**
 * True if two entries are about the same request. An id is unique only for one requester.
 *
 * @param {Entry} entry
 * @param {Entry} [other]
 */
export const isOf = (entry, other) =>
  other !== undefined && entry.request === other.request && entry.requester === other.requester;

/**
 * The entry that a request was received. `name` is what the doorbell calls the request: its id, or the hash of its
 * payload if another requester had used that id before.
 *
 * @param {Entry[]} entries
 * @param {string} name
 */
export const receivedAs = (entries, name) =>
  entries.find((entry) => entry.kind === "received" && (entry.request === name || entry.subject === name));

/**
 * All entries of the request that the doorbell calls `name`, oldest first.
 *
 * @param {Entry[]} entries
 * @param {string} name
 */
export function entriesOf(entries, name) {
  const received = receivedAs(entries, name);
  return entries.filter((entry) => isOf(entry, received));
}

// This browser's storage: the owner's keys, sealed with their passphrase, and each doorbell's state when last seen.
// Only public keys are readable without the passphrase.

import { PageError } from "../errors.js";

/** @import { Glance, Kept, Known, OwnReplies } from "../types.js" */

const NAME = "doorward";

function database() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore("keys");
      opening.result.createObjectStore("memory");
    };
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

/**
 * @template T
 * @param {string} store
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} what
 * @returns {Promise<T>}
 */
async function within(store, mode, what) {
  const opened = await database().catch(throwInWords);
  try {
    return await new Promise((resolve, reject) => {
      // On the disk before it returns: a phone that switches off must not have shown "kept" for keys that are gone.
      const transaction = opened.transaction(store, mode, { durability: "strict" });
      const asked = what(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onerror = () => reject(transaction.error);
      transaction.onabort = () => reject(transaction.error);
    });
  } catch (error) {
    return throwInWords(error);
  } finally {
    opened.close();
  }
}

/**
 * A browser gives no place to a page, for example, if its storage is full or blocked, or was deleted meanwhile.
 *
 * @param {unknown} error
 * @returns {never}
 */
function throwInWords(error) {
  const what = error instanceof DOMException ? error.name : String(error);
  throw new PageError(what === "QuotaExceededError" ? "error.storage-full" : "error.storage", { what });
}

/**
 * Public halves, and age files that the passphrase and a passkey open.
 *
 * @returns {Promise<Kept | undefined>}
 */
export const keys = () => within("keys", "readonly", (store) => store.get("mine"));
/** @param {Kept} value */
export const keepKeys = (value) => within("keys", "readwrite", (store) => store.put(value, "mine"));
/**
 * The identity that opens the pictures of alerts, without a passphrase.
 *
 * @returns {Promise<Glance | undefined>}
 */
export const glance = () => within("keys", "readonly", (store) => store.get("glance"));
/** @param {Glance} value */
export const keepGlance = (value) => within("keys", "readwrite", (store) => store.put(value, "glance"));
/**
 * The sealed picture of the newest alert.
 *
 * @returns {Promise<{ picture: unknown, at: number } | undefined>}
 */
export const alert = () => within("keys", "readonly", (store) => store.get("alert"));
/** @param {{ picture: unknown, at: number }} value */
export const keepAlert = (value) => within("keys", "readwrite", (store) => store.put(value, "alert"));
/**
 * The owner's own replies, sealed.
 *
 * @returns {Promise<OwnReplies | undefined>}
 */
export const replies = () => within("keys", "readonly", (store) => store.get("replies"));
/** @param {OwnReplies} value */
export const keepReplies = (value) => within("keys", "readwrite", (store) => store.put(value, "replies"));
/**
 * @param {string} device
 * @returns {Promise<any>}
 */
export const memory = (device) => within("memory", "readonly", (store) => store.get(device));
/** The key ids of the doorbells that this browser has met. */
export const devices = () => within("memory", "readonly", (store) => store.getAllKeys());
/**
 * @param {string} device
 * @param {unknown} value
 */
export const remember = (device, value) => within("memory", "readwrite", (store) => store.put(value, device));
/**
 * Replaces what is remembered of a known doorbell by `next` of it, in one transaction.
 *
 * @param {string} device
 * @param {(known: Known) => Known} next
 */
export const change = (device, next) =>
  within("memory", "readwrite", (store) => {
    const asked = store.get(device);
    asked.onsuccess = () => {
      if (asked.result) store.put(next(asked.result), device); // another tab may have forgotten everything
    };
    return asked;
  });
export const forgetEverything = () =>
  Promise.all([
    within("keys", "readwrite", (store) => store.clear()),
    within("memory", "readwrite", (store) => store.clear()),
  ]);

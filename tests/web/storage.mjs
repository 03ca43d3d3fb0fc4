// A browser that gives the page no place for its keys: blocked, full, or for an unknown reason.
import "./globals.mjs";
import * as store from "../../agent/web/src/owner/store.js";

/** @param {any} error of the storage at its opening, or of a transaction */
async function after(error, isOpen = true) {
  const transaction = () => {
    const of = /** @type {any} */ ({ error, objectStore: () => ({ put: () => ({}) }) });
    queueMicrotask(() => of.onabort());
    return of;
  };
  const opened = { transaction, close: () => undefined };
  const open = () => {
    const asked = /** @type {any} */ ({ error, result: opened });
    queueMicrotask(() => (isOpen ? asked.onsuccess() : asked.onerror()));
    return asked;
  };
  globalThis.indexedDB = /** @type {any} */ ({ open });
  return store.keepKeys(/** @type {any} */ ({})).catch(({ name, text, values }) => [name, text, values.what]);
}
process.stdout.write(
  JSON.stringify([
    await after(new DOMException("", "SecurityError"), false),
    await after(new DOMException("", "QuotaExceededError")),
    await after(null),
  ]),
);

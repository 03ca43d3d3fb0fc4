// As much of IndexedDB as owner/store.js uses, in memory. Imported before the modules that use it.
/** @type {Record<string, Map<any, any>>} */
const stores = { keys: new Map(), memory: new Map() };
/** @param {any} of */
const soon = (of) => {
  queueMicrotask(() => (of.oncomplete ?? of.onsuccess)());
  return of;
};
/** @param {string} name */
const objectStore = (name) => ({
  get: (/** @type {any} */ key) => ({ result: structuredClone(stores[name].get(key)) }),
  put: (/** @type {any} */ value, /** @type {any} */ key) => ({
    result: stores[name].set(key, structuredClone(value)),
  }),
});
const result = { transaction: () => soon({ objectStore }), close: () => undefined };
globalThis.indexedDB = /** @type {any} */ ({ open: () => soon({ result }) });

// As much of IndexedDB as owner/store.js uses, in memory: one transaction after the other. Imported before the modules
// that use it.
/** @type {Record<string, Map<any, any>>} */
const stores = { keys: new Map(), memory: new Map() };
let turn = Promise.resolve();

/** @param {string} store */
function transaction(store) {
  /** @type {(() => void)[]} */
  const requests = [];
  /** @param {() => any} act */
  const request = (act) => {
    const asked = /** @type {any} */ ({});
    requests.push(() => {
      asked.result = act();
      asked.onsuccess?.();
    });
    return asked;
  };
  const kept = stores[store];
  const objectStore = () => ({
    get: (/** @type {any} */ key) => request(() => structuredClone(kept.get(key))),
    getAllKeys: () => request(() => [...kept.keys()]),
    put: (/** @type {any} */ value, /** @type {any} */ key) => request(() => kept.set(key, structuredClone(value))),
  });
  const of = /** @type {any} */ ({ objectStore });
  turn = turn.then(() => {
    for (let next = requests.shift(); next; next = requests.shift()) next();
    of.oncomplete();
  });
  return of;
}

/** @param {any} of */
const soon = (of) => {
  queueMicrotask(() => of.onsuccess());
  return of;
};
const result = { transaction, close: () => undefined };
globalThis.indexedDB = /** @type {any} */ ({ open: () => soon({ result }) });

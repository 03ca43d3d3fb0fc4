// A browser's memory of a doorbell, changed by several tabs: nothing becomes older, and no change is lost.
import "./globals.mjs";
import "./indexed_db.mjs";
import { addRoots, rememberBundles, rememberShown, removeRoot } from "../../agent/web/src/owner/known.js";
import * as store from "../../agent/web/src/owner/store.js";

/** @param {number} size */
const note = (size) => `doorward.example/ledger\n${size}\nhash\n\n— signature`;
/** @param {number[]} numbers */
const seen = ([root_version, version, timestamp]) => ({
  version,
  sha256: "",
  root_version,
  timestamp,
  root_sha256: "",
});
const first = { enrolments: ["one"], checkpoint: note(9), roots: ["a"], bundles: { a: seen([2, 10, 5]) } };
await store.remember("door", first);

const found = /** @type {any[]} */ ([]);
/** @param {() => Promise<unknown>} act */
const after = async (act) => {
  await act();
  found.push(await store.memory("door"));
};
await after(() => rememberShown("door", { enrolments: ["one", "two"], checkpoint: note(10) }));
await after(() => rememberShown("door", { enrolments: ["one"], checkpoint: note(9) }));
await after(() => rememberBundles("door", { a: seen([2, 9, 99]), b: seen([0, 1, 0]) }));
await after(() => rememberBundles("door", { a: seen([2, 10, 6]) }));
await after(() => rememberBundles("door", { a: seen([1, 99, 99]) }));
await after(() => rememberBundles("door", { a: seen([3, 1, 1]) }));
// All at once, as tabs do.
await after(() =>
  Promise.all([
    addRoots("door", ["b", "a"]),
    addRoots("door", ["c"]),
    removeRoot("door", "a"),
    rememberShown("door", { enrolments: ["one", "two", "three"], checkpoint: note(12) }),
    rememberBundles("door", { b: seen([0, 2, 0]) }),
  ]),
);
await addRoots("forgotten", ["a"]);
const forgotten = (await store.memory("forgotten")) ?? null;
process.stdout.write(JSON.stringify({ found, forgotten }));

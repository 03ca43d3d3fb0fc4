// Own replies in this browser's storage: what is kept is sealed, bounded, and comes back as it was.
import "./globals.mjs";
import "./indexed_db.mjs";
import { frames, keep, names, read, remove, written } from "../../agent/web/src/owner/own_replies.js";
import * as store from "../../agent/web/src/owner/store.js";

/** @param {() => unknown} act */
const refusalOf = async (act) => {
  try {
    await act();
    return null;
  } catch (error) {
    return /** @type {{ text?: string }} */ (error).text ?? String(error);
  }
};
/** @param {number} count */
const spoken = (count) => Array.from({ length: count }, (_, at) => ({ kind: 1, content: new Uint8Array(60).fill(at) }));
const plain = new TextDecoder("latin1").decode(written(spoken(3)).subarray(3, 63));

const found = { none: await names() };
await keep("Leave it here", spoken(3));
await keep("Leave it here", spoken(4));
await keep("Back soon", [{ kind: 2, content: new Uint8Array(320).fill(7) }]);
const kept = await store.replies();
const sealed = kept?.replies.map((each) => new TextDecoder("latin1").decode(each.sealed)).join("") ?? "";
Object.assign(found, {
  names: await names(),
  count: (await frames("Leave it here")).length,
  same: JSON.stringify(await frames("Leave it here")) === JSON.stringify(spoken(4)),
  isSealed: !sealed.includes(plain),
  extractable: kept?.key.extractable,
  longest: await refusalOf(() => keep("longest", spoken(750))),
  refused: {
    long: await refusalOf(() => keep("long", spoken(751))),
    silent: await refusalOf(() => keep("silent", [])),
    nameless: await refusalOf(() => keep("", spoken(1))),
    name: await refusalOf(() => keep("n".repeat(65), spoken(1))),
    missing: await refusalOf(() => frames("never recorded")),
  },
});
const swapped = /** @type {NonNullable<typeof kept>} */ (kept);
const [first, second] = swapped.replies;
await store.keepReplies({ ...swapped, replies: [{ ...first, name: second.name }] });
Object.assign(found, { swapped: await refusalOf(() => frames(second.name)) });
await store.keepReplies(swapped);
for (let n = 0; n < 6; n++) await keep(`reply ${n}`, spoken(1));
Object.assign(found, { full: await refusalOf(() => keep("one more", spoken(1))), most: (await names()).length });
await remove("Back soon");
Object.assign(found, { afterwards: await refusalOf(() => keep("one more", spoken(1))) });
const malformed = [[1], [1, 0], [1, 0, 0], [3, 0, 1, 9], [1, 0, 2, 9], [0, 0, 1, 9], [1, 255, 255, 1]];
const refusals = [];
for (const each of malformed) refusals.push(await refusalOf(() => read(Uint8Array.from(each))));
process.stdout.write(JSON.stringify({ ...found, malformed: refusals }));

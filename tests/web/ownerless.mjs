// An owner's browser and a doorbell that lost its owners, over HTTP. argv[2]: the doorbell's address and the time.
// Prints what the worker answered at each step.
import "./globals.mjs";
import "./indexed_db.mjs";
import * as keys from "../../agent/web/src/owner/keys.js";
import * as store from "../../agent/web/src/owner/store.js";
import { identityToRecipient } from "../../agent/web/src/wire/age.js";
import { parseKey } from "../../agent/web/src/wire/keys.js";

/** @type {any} */
const given = JSON.parse(process.argv[2]);
Date.now = () => given.nowMs;
const ownFetch = globalThis.fetch;
globalThis.fetch = (path, options) => ownFetch(new URL(String(path), given.address), options);
/** @typedef {{ result?: any, error?: { text: string } }} Answered */
/** @type {(answered: Answered) => void} */
let answered = () => {};
const worker = /** @type {any} */ ({ postMessage: (/** @type {Answered} */ data) => answered(data) });
globalThis.self = worker;
await import("../../agent/web/src/worker.js");

/**
 * @param {string} name
 * @param {object} values
 */
async function call(name, values) {
  /** @type {Promise<Answered>} */
  const answer = new Promise((resolve) => (answered = resolve));
  worker.onmessage({ data: { number: 1, name, values } });
  return answer;
}

/** @type {Record<string, unknown>} */
const came = {};
/**
 * @param {string} step
 * @param {string} name
 * @param {object} values
 */
async function did(step, name, values) {
  await fetch(`/steps/${step}`, { method: "POST" });
  const { error } = await call(name, values);
  came[step] = error ? error.text : "done";
}
/** @param {string} what */
const doorbell = (what) => fetch(`/${what}`, { method: "POST" });

const origin = "https://door.local";
const credential = "the passphrase";
const { id } = await parseKey(given.device);
const state = async () => (await call("state", { device: given.device })).result;
const kept = async () => JSON.stringify(await store.keys());
const again = (/** @type {object} */ changed = {}) => ({ credential, typed: recovery, origin, ...changed });

came["known before"] = (await state()).hadOwner;
const { recovery } = (await call("draftKeys", { name: "ana" })).result;
await did("keep", "keepDraft", { passphrase: credential, withRecovery: true });
await did("claim", "enrolFirst", { typed: recovery, origin });
const mine = await kept();
const text = await keys.backup();

await doorbell("lose");
came["known afterwards"] = (await state()).hadOwner;
const other = (await call("draftKeys", { name: "ana" })).result;
await did("new keys for it", "keepDraft", { passphrase: "another", withRecovery: true });
await did("claim as new", "enrolFirst", { typed: other.recovery, origin });
await did("claim with a backup", "claimWithKeys", { text, passphrase: credential, typed: recovery, origin });
await did("unlock", "unlock", { credential, origin });
await did("another kit", "claimAgain", again({ typed: await keys.makeRecovery() }));
await did("another passphrase", "claimAgain", again({ credential: "wrong" }));
came["keys stay"] = (await kept()) === mine;

await doorbell("lose-answer");
await did("again, and the answer is lost", "claimAgain", again());
await did("pressed once more", "claimAgain", again());
came["are noted"] = (await store.memory(id)).claims.length;
await did("unlock after that", "unlock", { credential, origin });
came["is known by the new list"] = (await store.memory(id)).claims === undefined;
came["keys are the same"] = (await kept()) === mine;

await doorbell("lose");
await doorbell("refuse");
await did("again, and it never arrives", "claimAgain", again());
await doorbell("older");
await did("unlock with the first list of all", "unlock", { credential, origin });
await doorbell("stranger");
await did("unlock with a stranger's list", "unlock", { credential, origin });
await doorbell("restored");
await did("unlock once it is restored", "unlock", { credential, origin });
came["nothing is noted"] = (await store.memory(id)).claims === undefined;
await doorbell("lose");
await did("again at last", "claimAgain", again());

// Another browser makes a new kit, and this one does not hear of it before the card is lost.
const unseen = await keys.makeRecovery();
await doorbell("lose");
await did("a kit that this browser has not seen", "claimAgain", again({ typed: unseen }));
await did("its owner says that it is newer", "claimAgain", again({ typed: unseen, isNewer: true }));
came["it is in force"] = (await store.keys())?.card.recovery === (await identityToRecipient(unseen));
const { recovery: newest } = (await call("draftKit", {})).result;
await did("this browser makes another", "replaceKit", { typed: newest, credential });
await doorbell("lose");
await did("a kit that it saw replaced", "claimAgain", again({ typed: unseen, isNewer: true }));
await did("the newest kit", "claimAgain", again({ typed: newest }));
came["keys at the end"] = (await store.keys())?.card.recipient === JSON.parse(mine).card.recipient;
process.stdout.write(JSON.stringify(came));

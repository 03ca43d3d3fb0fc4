// An owner's keys in this browser's storage, and a backup or kit of other keys that is used in the same browser. Prints
// for each case what the worker answered, and the owner of the keys that the browser has afterwards.
import "./globals.mjs";
import "./indexed_db.mjs";
import * as keys from "../../agent/web/src/owner/keys.js";
import * as store from "../../agent/web/src/owner/store.js";
import { identityToRecipient, sealTo } from "../../agent/web/src/wire/age.js";
import { randomBytes, utf8 } from "../../agent/web/src/wire/bytes.js";

/** @typedef {{ result?: any, error?: { text: string } }} Answered */

/** @type {(answered: Answered) => void} */
let answered = () => {};
const worker = /** @type {any} */ ({ postMessage: (/** @type {Answered} */ data) => answered(data) });
globalThis.self = worker;
let asked = 0;
globalThis.fetch = async () => {
  asked += 1;
  throw new TypeError("no doorbell is here");
};
await import("../../agent/web/src/worker.js");

/**
 * @param {string} name
 * @param {object} values
 */
async function call(name, values) {
  /** @type {Promise<Answered>} */
  const answer = new Promise((resolve) => (answered = resolve));
  worker.onmessage({ data: { number: 1, name, values } });
  const { result, error } = await answer;
  return error ? error.text : (result ?? null);
}

const CODE = "0123456789";
const ORIGIN = "https://door.local";
/** @param {string} name */
async function makeOwner(name) {
  const secrets = await keys.makeSecrets();
  const card = await keys.cardOf(name, secrets, await identityToRecipient(await keys.makeRecovery()));
  await keys.keep(card, secrets, name);
  return { name, card, secrets, text: await keys.backup(), kept: await store.keys() };
}
const [ana, ben] = [await makeOwner("ana"), await makeOwner("ben")];
const secret = randomBytes(32);
await keys.addPasskey({ id: "id", salt: "salt" }, secret, "ben");
const bens = await store.keys();
/** @param {{ card: { recipient: string } }} owner */
const codeFor = ({ card }) => sealTo(utf8(`doorward-button-code:${CODE}`), card.recipient);
const [forAna, forBen] = [await codeFor(ana), await codeFor(ben)];
const backup = { text: ana.text, passphrase: "ana" };
const kit = await keys.makeRecovery();

/**
 * `kept`: what the browser's storage has before the call.
 *
 * @param {any} kept
 * @param {string} name
 * @param {object} values
 */
async function after(kept, name, values) {
  await store.keepKeys(kept);
  asked = 0;
  const answer = await call(name, values);
  const now = await store.keys();
  const owner = now && `${now.card.name}${now.passkey ? " with a passkey" : ""}`;
  const isSame = JSON.stringify(now) === JSON.stringify(kept);
  return { answer, owner: owner ?? null, isSame, asked: asked > 0 };
}

const open = "openButtonCode";
process.stdout.write(
  JSON.stringify({
    "a backup that opens, beside other keys": await after(bens, open, { sealed: forAna, ...backup }),
    "a backup that does not open, beside other keys": await after(bens, open, { sealed: forBen, ...backup }),
    "a backup that opens, without keys": await after(undefined, open, { sealed: forAna, ...backup }),
    "a backup that does not open, without keys": await after(undefined, open, { sealed: forBen, ...backup }),
    "the own passphrase": await after(bens, open, { sealed: forBen, credential: "ben" }),
    "the own passkey": await after(bens, open, { sealed: forBen, credential: secret }),
    "another passphrase": await after(bens, open, { sealed: forBen, credential: "ana" }),
    "own keys of another doorbell": await after(bens, open, { sealed: forAna, credential: "ben" }),
    "to restore, beside other keys": await after(bens, "restore", { ...backup, origin: ORIGIN }),
    "to restore, while the doorbell is away": await after(undefined, "restore", { ...backup, origin: ORIGIN }),
    "to claim with another kit": await after(bens, "claimWithKeys", { ...backup, typed: kit, origin: ORIGIN }),
    "to recover, beside other keys": await after(bens, "recover", {
      typed: kit,
      name: "new",
      passphrase: "new",
      replaces: "ana",
      origin: ORIGIN,
    }),
  }),
);

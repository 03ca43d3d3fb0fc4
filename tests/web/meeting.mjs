// The page's owner functions with a doorbell over HTTP, in node. argv[2]: the doorbell's address, the owner's keys, the
// time, and the functions to call once the doorbell has been set back. Prints what came of each: "done", or an error.
import "./globals.mjs";
import "./indexed_db.mjs";
import * as decisions from "../../agent/web/src/owner/decisions.js";
import { enrolNext } from "../../agent/web/src/owner/enrolment.js";
import { householdRoots, takeOverRoots } from "../../agent/web/src/owner/household_roots.js";
import { readLedger } from "../../agent/web/src/owner/ledger.js";
import { RedactedFiles } from "../../agent/web/src/owner/redacted_files.js";
import { bulletins, review } from "../../agent/web/src/owner/review.js";
import { changeSettings } from "../../agent/web/src/owner/settings.js";
import { syncDevice, syncNewDevice } from "../../agent/web/src/owner/sync.js";
import { sendTip, tipRecipients } from "../../agent/web/src/owner/tips.js";
import * as trust from "../../agent/web/src/owner/trust.js";
import { unhex, utf8 } from "../../agent/web/src/wire/bytes.js";
import { parseKey } from "../../agent/web/src/wire/keys.js";

/** @type {any} */
const given = JSON.parse(process.argv[2]);
Date.now = () => given.nowMs;
const ownFetch = globalThis.fetch;
globalThis.fetch = (path, options) => ownFetch(new URL(String(path), given.address), options);

const keys = /** @type {any} */ ({
  card: { name: given.name },
  identity: given.identity,
  approval: unhex(given.approval),
});
const device = await parseKey(given.device);
const found = /** @type {any} */ ({
  synced: { device },
  request: { not_after: given.nowMs },
  segments: [],
  sha256: "00".repeat(32),
  first: { by: "another", sha256: "00".repeat(32) },
});
const noLossless = () => Promise.reject(new Error("no film is exact here"));
const choice = { segments: ["x"], posters: [], clips: [] };
const tip = /** @type {any} */ ({ text: "A van.", segments: [], posters: [], root: "00", requester: "police" });
/** @type {Record<string, () => Promise<unknown>>} */
const functions = {
  enrolNext: () => enrolNext((recipients, approvers) => ({ recipients, approvers }), keys.approval, {}),
  approve: () => decisions.approve(found, keys, choice, opens, new RedactedFiles(opens, noLossless)),
  coApprove: () => decisions.coApprove(found, keys),
  deny: () => decisions.deny(given.request, keys),
  decide: () => decisions.decide("opt-out", { scope: "all" }, keys),
  changeSettings: () => changeSettings({ name: "Back door" }, keys),
  addTrustRoots: () => trust.addTrustRoots([given.device], keys),
  removeTrustRoot: () => trust.removeTrustRoot(given.root, keys),
  previewBundle: () => trust.previewBundle(new Uint8Array()),
  offerBundle: () => trust.offerBundle(new Uint8Array(), null),
  overview: () => trust.overview(),
  householdRoots: () => householdRoots(),
  takeOverRoots: () => takeOverRoots([given.root]),
  sendTip: () => sendTip(tip, keys, opens),
  tipRecipients: () => tipRecipients(),
  review: () => review(given.request, given.identity),
  bulletins: () => bulletins(given.identity),
  readLedger: () => readLedger(),
  syncNewDevice: () => syncNewDevice(),
};
/** @type {Record<string, unknown>} */
const came = {};
/** @type {Record<string, () => Promise<unknown>>} */
const stories = {
  /** The doorbell moves between the question and the owner's yes. */
  offerDuringAMove: async () => {
    await trust.addTrustRoots([given.root], keys);
    const { cell } = await trust.previewBundle(utf8(given.bundle));
    await fetch("/move", { method: "POST" });
    await trust.offerBundle(utf8(given.bundle), cell);
  },
  /** Another owner was deceived: a root with the same id and a forger's second key takes the chosen one's place. */
  rootExchanged: async () => {
    await trust.addTrustRoots([given.root], keys);
    await fetch("/move", { method: "POST" });
    came.shown = (await trust.overview()).map(({ key, confirmed, requesters }) => ({ key, confirmed, requesters }));
    came.offered = (await householdRoots()).map(({ key, isDisputed }) => ({ key, isDisputed }));
    await takeOverRoots([given.forged]);
    came.taken = (await trust.overview()).map(({ confirmed }) => confirmed);
    came.typed = await outcome(() => trust.addTrustRoots([given.forged], keys));
  },
  /** This owner was deceived. Another owner saw it, and put the root itself in the false one's place. */
  falseRootExchanged: async () => {
    await trust.addTrustRoots([given.forged], keys);
    await fetch("/move", { method: "POST" });
    const lines = async () =>
      (await trust.overview()).map(({ key, confirmed, isGone, isDisputed }) => ({
        key,
        confirmed,
        isGone,
        isDisputed,
      }));
    came.shown = await lines();
    came.typed = await outcome(() => trust.addTrustRoots([given.root], keys));
    await trust.removeTrustRoot(given.forged, keys);
    came.offered = (await householdRoots()).map(({ key }) => key);
    await takeOverRoots([given.root]);
    came.after = await lines();
  },
  /** The root's people change. */
  rootWithOtherKeys: async () => {
    /** @type {unknown[]} */
    const signers = [];
    came.signers = signers;
    await trust.addTrustRoots([given.root], keys);
    for (const bundle of given.packages) {
      const { cell, keys: areNew } = await trust.previewBundle(utf8(bundle));
      await trust.offerBundle(utf8(bundle), cell);
      signers.push({ ...(await trust.overview())[0].signers, areNew });
    }
  },
  /** This owner was deceived, sees it, and chooses the root itself. */
  rootAfterAFalseOne: async () => {
    /** @type {unknown[]} */
    const versions = [];
    came.versions = versions;
    for (const [root, bundle] of given.chosen) {
      await trust.addTrustRoots([root], keys);
      const { cell } = await trust.previewBundle(utf8(bundle));
      await trust.offerBundle(utf8(bundle), cell);
      versions.push((await trust.overview())[0].version);
      await trust.removeTrustRoot(root, keys);
    }
  },
};

await syncNewDevice();
if (given.before) came.before = await outcome(functions[given.before]);
await syncDevice();
await fetch("/set-back", { method: "POST" });
for (const name of given.called ?? Object.keys(functions)) {
  await fetch(`/calls/${name}`, { method: "POST" });
  came[name] = await outcome(functions[name] ?? stories[name]);
}
process.stdout.write(JSON.stringify(came));

/** @param {() => Promise<unknown>} call */
async function outcome(call) {
  return call().then(
    () => "done",
    (error) => error.text ?? String(error.stack),
  );
}

/** @param {(identity: string, device: any) => Promise<any>} open */
function opens(open) {
  return open(given.identity, device);
}

// Trust roots that this owner lets ask (agent/clients/owner/trust_roots.py): chosen in this browser, with the bundles
// they signed.
import { OpenError } from "../errors.js";
import { ask } from "../link.js";
import { claimedRoot } from "../wire/trust.js";
import { parseTrustKey } from "../wire/trust_keys.js";
import { addRoots, removeRoot } from "./known.js";
import { trusted } from "./review.js";
import { signAndSubmit } from "./statements.js";
import { syncAfter, syncDevice } from "./sync.js";

/** @import { Bytes, OpenedBundle, Unlocked } from "../types.js" */
/** @import { TrustStore } from "../wire/trust.js" */
/** @import * as Wire from "../wire/generated.js" */
/**
 * One signed statement for all of them. Throws OpenError if this owner chose one with another second key.
 *
 * @param {string[]} texts
 * @param {Unlocked} keys
 */
export async function addTrustRoots(texts, keys) {
  const synced = await syncDevice();
  const known = await Promise.all(synced.known.roots.map(parseTrustKey));
  const wanted = await Promise.all(texts.map((text) => parseTrustKey(text.trim())));
  if (wanted.some((key) => known.some((each) => each.id === key.id && each.text !== key.text)))
    throw new OpenError("error.other-pair");
  const chosen = wanted.map((key) => key.text);
  const shown = (await ask("trust")).roots;
  const added = chosen.filter((key) => !shown.includes(key));
  // Another owner may have chosen them already. Then only this browser has to remember them.
  if (added.length > 0) await signAndSubmit("trust-change", synced.device, { roots_added: added }, keys.approval);
  await syncAfter();
  await addRoots(synced.device.id, chosen);
}

/**
 * @param {string} text
 * @param {Unlocked} keys
 */
export async function removeTrustRoot(text, keys) {
  const synced = await syncDevice();
  const key = await parseTrustKey(text);
  if ((await ask("trust")).roots.includes(key.text)) {
    await signAndSubmit("trust-change", synced.device, { roots_removed: [key.text] }, keys.approval);
  }
  await syncAfter();
  await removeRoot(synced.device.id, key.text);
}

/**
 * Changes of a bundle or package for this owner, in the names owners read. `keys` are new keys of the root itself.
 *
 * @param {Bytes} bytes
 */
export async function previewBundle(bytes) {
  const synced = await syncDevice();
  const { store: trust } = await trusted(synced);
  if (!trust.roots.has(claimedRoot(bytes))) throw new OpenError("error.stranger-bundle");
  const opened = await trust.open(bytes);
  trust.requireNewest(opened);
  // A newer package, with a revocation in it, may be held back.
  if (opened.endsS !== undefined && opened.endsS < Date.now() / 1000) throw new OpenError("error.ended-package");
  return changesOf(trust, opened);
}

/**
 * @param {TrustStore} trust
 * @param {OpenedBundle} opened
 */
function changesOf(trust, { bundle, keysSince }) {
  const before = trust.bundles.get(bundle.root)?.requesters ?? [];
  /** @param {Wire.RequesterEntry | undefined} entry */
  const spelling = (entry) => JSON.stringify(entry);
  const old = new Map(before.map((entry) => [entry.id, entry]));
  const now = new Map(bundle.requesters.map((entry) => [entry.id, entry]));
  return {
    root: bundle.root,
    /** The doorbell's cell. In another one, the same package may let other requesters ask. */
    cell: trust.cell ?? null,
    version: bundle.version,
    /** True if the root has other keys than when an owner last agreed. */
    keys: (keysSince?.version ?? 0) > Math.max(1, trust.rootVersions.get(bundle.root) ?? 0),
    added: bundle.requesters.filter((entry) => !old.has(entry.id)).map((entry) => entry.name),
    removed: before.filter((entry) => !now.has(entry.id)).map((entry) => entry.name),
    changed: bundle.requesters
      .filter((e) => old.has(e.id) && spelling(old.get(e.id)) !== spelling(e))
      .map((e) => e.name),
  };
}

/**
 * Submits a bundle or package. The doorbell refuses it if it was moved to another cell than the owner's `cell`.
 *
 * @param {Bytes} bytes
 * @param {string | null} cell that of the changes which the owner was shown
 */
export async function offerBundle(bytes, cell) {
  const change = await previewBundle(bytes);
  await ask("trust_bundle", { cell }, bytes);
  await trusted(await syncDevice());
  return change;
}

/**
 * Roots and all requesters they vouch for, for the page. A root that this owner chose and that the doorbell has
 * exchanged for another pair with the same id is there, too: one of both is false, and the owner has to be able to take
 * it out.
 */
export async function overview() {
  const synced = await syncDevice();
  const { store: trust, unconfirmed, shown, heard } = await trusted(synced);
  const rivals = unconfirmed.flatMap(({ id }) => trust.roots.get(id) ?? []);
  const gone = rivals.filter((own) => shown.every((each) => each.text !== own.text));
  const nowS = Date.now() / 1000;
  return Promise.all(
    [...shown, ...gone].map(async (root) => {
      const confirmed = !unconfirmed.includes(root);
      const freshUntil = trust.freshUntil.get(root.id);
      const offered = confirmed && trust.heard.has(root.id) ? heard.get(root.id) : undefined;
      const isOver = freshUntil !== undefined && freshUntil < nowS;
      return {
        key: root.text,
        id: root.id,
        confirmed,
        /** The doorbell has another pair with this id. */
        isGone: gone.includes(root),
        /** Two roots of the page have this id, so only the whole keys tell them apart. */
        isDisputed: rivals.some(({ id }) => id === root.id),
        version: trust.bundles.get(root.id)?.version ?? null,
        requesters: trust.requesters(root.id).map(({ id, name, kind }) => ({ id, name, kind })),
        /** A package that waits for this owner's yes. */
        offer: offered && { bytes: offered, isOver, ...changesOf(trust, await trust.open(offered)) },
        signers: confirmed ? trust.signers.get(root.id) : undefined,
        /** The end of the newest timestamp, if it has passed: newer revocations may be held back. */
        staleSince: isOver ? freshUntil : null,
      };
    }),
  );
}

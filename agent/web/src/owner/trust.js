// Trust roots that this owner lets ask (agent/clients/owner/trust_roots.py): chosen in this browser, with the bundles
// they signed.
import { OpenError } from "../errors.js";
import { ask } from "../link.js";
import { readUnverified } from "../wire/envelope.js";
import { parseKey } from "../wire/keys.js";
import { trusted } from "./review.js";
import { signAndSubmit } from "./statements.js";
import * as store from "./store.js";
import { syncDevice } from "./sync.js";

/** @import { Bytes, Unlocked } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
/**
 * @param {string} text
 * @param {Unlocked} keys
 */
export async function addTrustRoot(text, keys) {
  const synced = await syncDevice();
  const key = await parseKey(text.trim());
  const shown = (await ask("trust")).roots;
  if (!shown.includes(key.text))
    await signAndSubmit("trust-change", synced.device, { roots_added: [key.text] }, keys.approval);
  const { known } = await syncDevice();
  await store.remember(synced.device.id, { ...known, roots: [...new Set([...known.roots, key.text])] });
}

/**
 * @param {string} text
 * @param {Unlocked} keys
 */
export async function removeTrustRoot(text, keys) {
  const synced = await syncDevice();
  const key = await parseKey(text);
  if ((await ask("trust")).roots.includes(key.text)) {
    await signAndSubmit("trust-change", synced.device, { roots_removed: [key.text] }, keys.approval);
  }
  const { known } = await syncDevice();
  await store.remember(synced.device.id, { ...known, roots: known.roots.filter((root) => root !== key.text) });
}

/**
 * Changes of a bundle file: `{root, version, added, removed, changed}` in the names owners read.
 *
 * @param {Bytes} bytes
 */
export async function previewBundle(bytes) {
  const synced = await syncDevice();
  const { store: trust } = await trusted(synced);
  const claimed = readUnverified(bytes, 3 << 19);
  if (!trust.roots.has(claimed.keyId)) throw new OpenError("error.stranger-bundle");
  const before = trust.bundles.get(claimed.keyId)?.requesters ?? [];
  const bundle = await trust.accept(bytes);
  /** @param {Wire.RequesterEntry | undefined} entry */
  const spelling = (entry) => JSON.stringify(entry);
  const old = new Map(before.map((entry) => [entry.id, entry]));
  const now = new Map(bundle.requesters.map((entry) => [entry.id, entry]));
  return {
    version: bundle.version,
    added: bundle.requesters.filter((entry) => !old.has(entry.id)).map((entry) => entry.name),
    removed: before.filter((entry) => !now.has(entry.id)).map((entry) => entry.name),
    changed: bundle.requesters
      .filter((e) => old.has(e.id) && spelling(old.get(e.id)) !== spelling(e))
      .map((e) => e.name),
  };
}

/** @param {Bytes} bytes */
export async function offerBundle(bytes) {
  const change = await previewBundle(bytes);
  await ask("trust_bundle", {}, bytes);
  await trusted(await syncDevice());
  return change;
}

/** Roots and all requesters they vouch for, for the page. */
export async function overview() {
  const synced = await syncDevice();
  const { store: trust, unconfirmed, shown } = await trusted(synced);
  return shown.map((root) => ({
    key: root.text,
    id: root.id,
    confirmed: !unconfirmed.includes(root),
    version: trust.bundles.get(root.id)?.version ?? null,
    requesters: (trust.bundles.get(root.id)?.requesters ?? []).map(({ id, name, kind }) => ({ id, name, kind })),
  }));
}

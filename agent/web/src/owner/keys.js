// An owner's keys, made in this browser: an age identity that opens, an Ed25519 key that approves, and a recovery kit.
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { FormatError, OpenError, PageError } from "../errors.js";
import {
  generateHybridIdentity,
  hybridIdentity,
  identityToRecipient,
  open,
  openWithPassphrase,
  sealTo,
  sealWithPassphrase,
} from "../wire/age.js";
import { base64, concat, fromUtf8, randomBytes, unbase64, unhex, utf8 } from "../wire/bytes.js";
import { approverOf } from "../wire/mldsa.js";
import * as store from "./store.js";

/** @import { Bytes, Credential, Passkey, Secrets } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
const WORK_FACTOR = 16;
const PKCS8_HEAD = unhex("302e020100300506032b657004220420");
const RECOVERY_INFO = "doorward recovery approval key v1";
const PASSKEY_INFO = "doorward passkey identity v1";
export const RECOVERY = "recovery";

/**
 * Fresh secrets: `{identity, approval, older}`, an age identity as text, a 32-byte seed, and an empty list of older
 * identities.
 */
export const makeSecrets = async () => ({
  identity: await generateHybridIdentity(),
  approval: randomBytes(32),
  older: [],
});

export const makeRecovery = () => generateHybridIdentity();

/**
 * The approval key that belongs to a recovery identity, so that the kit alone can put new keys in place of lost ones.
 *
 * @param {string} identity
 */
export async function recoveryApproval(identity) {
  return hkdf(sha256, utf8(identity), undefined, utf8(RECOVERY_INFO), 32);
}

/**
 * @param {string} name
 * @param {Secrets} secrets
 * @param {string} recoveryRecipient
 * @returns {Promise<Wire.OwnerCard>}
 */
export async function cardOf(name, secrets, recoveryRecipient) {
  const approver = await approverOf(secrets.approval);
  return {
    v: 1,
    name,
    recipient: await identityToRecipient(secrets.identity),
    approver: approver.key,
    approver_mldsa: approver.mldsa,
    recovery: recoveryRecipient,
  };
}

/**
 * Keeps the keys in this browser, sealed. A person with the passphrase can read the file as an age identity file.
 *
 * @param {Wire.OwnerCard} card
 * @param {Secrets} secrets
 * @param {string} passphrase
 */
export async function keep(card, secrets, passphrase) {
  await store.keepKeys({ card, sealed: await sealWithPassphrase(fileOf(card, secrets), passphrase, WORK_FACTOR) });
}

/**
 * The text of an age identity file.
 *
 * @param {Wire.OwnerCard} card
 * @param {Secrets} secrets
 */
function fileOf(card, secrets) {
  return [
    `# Doorward owner ${card.name}: opens footage with  age -d -i THIS-FILE`,
    `# approval key (PKCS #8, base64): ${base64(concat(PKCS8_HEAD, secrets.approval))}`,
    secrets.identity,
    ...(secrets.older.length ? ["# opens what was recorded before these keys were made:"] : []),
    ...secrets.older,
    "",
  ].join("\n");
}

/**
 * Keeps another card for the same keys.
 *
 * @param {Wire.OwnerCard} card
 */
export async function rename(card) {
  await store.keepKeys({ ...(await kept()), card });
}

async function kept() {
  const found = await store.keys();
  if (!found) throw new OpenError("error.no-keys");
  return found;
}

/**
 * `{card, identity, approval, older}`.  Throws OpenError for a wrong passphrase or another passkey.
 *
 * @param {Credential} credential
 */
export async function unlock(credential) {
  const { card, sealed, passkey } = await kept();
  if (typeof credential === "string") return { card, ...readSecrets(await openWithPassphrase(sealed, credential)) };
  if (!passkey) throw new OpenError("error.passkey");
  return { card, ...readSecrets(await open(passkey.sealed, passkeyIdentity(credential))) };
}

/**
 * The age identity of a passkey.  The authenticator's secret is the same for each file that it is asked for with this
 * salt, so it is not the key itself (RFC 5869).
 *
 * @param {Bytes} secret
 */
const passkeyIdentity = (secret) => hybridIdentity(hkdf(sha256, secret, undefined, utf8(PASSKEY_INFO), 32));

/**
 * Seals the keys to a passkey too.  The passphrase still opens them.
 *
 * @param {Pick<Passkey, "id" | "salt">} which
 * @param {Bytes} secret
 * @param {Credential} credential
 */
export async function addPasskey({ id, salt }, secret, credential) {
  const own = await unlock(credential);
  const recipient = await identityToRecipient(passkeyIdentity(secret));
  // A second age file, not a second recipient: age lets a passphrase stand alone (c2sp.org/age, "scrypt").
  const sealed = await sealTo(fileOf(own.card, own), recipient);
  await store.keepKeys({ ...(await kept()), passkey: { id, salt, sealed } });
}

export async function removePasskey() {
  const { card, sealed } = await kept();
  await store.keepKeys({ card, sealed });
}

/** @param {Bytes} bytes */
function readSecrets(bytes) {
  const text = fromUtf8(bytes);
  const [identity, ...older] = text.match(/^AGE-SECRET-KEY-PQ-1[0-9A-Z]+$/gm) ?? [];
  const approval = /^# approval key \(PKCS #8, base64\): ([A-Za-z0-9+/=]+)$/m.exec(text)?.[1];
  if (!identity || !approval) throw new FormatError("error.format", { what: "keys" });
  return { identity, approval: unbase64(approval).slice(-32), older };
}

/**
 * The identity on a recovery kit, typed or scanned, alone or between the kit's other lines.
 *
 * @param {string} typed
 */
export async function readKit(typed) {
  // Case and line breaks do not count: the kit is typed from paper or read by a camera.
  const found = /AGE-SECRET-KEY-PQ-1[0-9A-Z]{58}/.exec(typed.toUpperCase().replaceAll(/\s+/g, ""));
  if (!found) throw new OpenError("error.kit");
  try {
    await identityToRecipient(found[0]);
  } catch {
    throw new OpenError("error.kit");
  }
  return found[0];
}

/** The backup file, and back. */
export async function backup() {
  const { card, sealed } = await kept();
  return JSON.stringify({ v: 1, card, sealed: base64(sealed) });
}

/**
 * The keys in a backup file. Stores nothing: check that they are of use, then call `keepBackup`.
 *
 * @param {string} text
 * @param {string} passphrase
 */
export async function openBackup(text, passphrase) {
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new FormatError("error.backup");
  }
  if (parsed?.v !== 1 || typeof parsed.sealed !== "string" || typeof parsed.card?.name !== "string")
    throw new FormatError("error.backup");
  const sealed = unbase64(parsed.sealed);
  const secrets = readSecrets(await openWithPassphrase(sealed, passphrase));
  // The card is made again from the secrets: that of the file is not sealed, and could name other public keys.
  return { card: await cardOf(parsed.card.name, secrets, parsed.card.recovery), ...secrets, sealed };
}

/**
 * Keeps the keys of a backup file in this browser. If the browser has the same keys, they stay, with their passkey.
 *
 * @param {{ card: Wire.OwnerCard, sealed: Bytes }} backup
 */
export async function keepBackup({ card, sealed }) {
  if ((await store.keys())?.card.recipient !== card.recipient) await store.keepKeys({ card, sealed });
}

/**
 * Throws an error if this browser has other keys than these, because their private halves may be nowhere else.
 *
 * @param {(string | undefined)[]} recipients
 */
export async function requireNoOthers(...recipients) {
  const card = (await store.keys())?.card;
  if (card && !recipients.includes(card.recipient)) throw new PageError("error.keys-here", { name: card.name });
}

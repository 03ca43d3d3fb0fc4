// A passkey as another way to the keys of this browser: the authenticator of the phone or computer gives out a secret
// (WebAuthn level 3, extension "prf") once its owner has shown a fingerprint, a face or the screen's PIN.
//
// The doorbell takes no part in it.  It checks no assertion and stores no credential: the secret opens a file that is
// only in this browser, and what the file holds is an owner's keys.  So the challenge is random and unused.
import { PageError } from "../errors.js";
import { base64, randomBytes, unbase64 } from "../wire/bytes.js";
import { ask, call } from "./client.js";

/** @import { Bytes, Credential, Passkey } from "../types.js" */

const TIMEOUT_MS = 120_000;
const ED25519 = -8;
const ES256 = -7;
const RS256 = -257;

/** A passkey belongs to a domain, so a page that was opened by its IP address can have none. */
export const canHavePasskey = () => "PublicKeyCredential" in globalThis && /[a-z]/i.test(location.hostname.slice(-1));

/** The passkey of this browser's keys, if they have one and this page can ask for it. */
export const passkey = async () => (canHavePasskey() ? call("passkey") : null);

/**
 * Makes a passkey and seals the keys to it as well.
 *
 * @param {Credential} credential opens the keys now
 */
export async function addPasskey(credential) {
  const [{ name }, { doorbell }] = await Promise.all([call("state", {}), ask("page_hello")]);
  const salt = randomBytes(32);
  const made = await credentialOf(
    navigator.credentials.create({
      publicKey: {
        rp: { name: "Doorward" },
        user: { id: randomBytes(16), name: `${name} · ${doorbell}`, displayName: `${name} · ${doorbell}` },
        challenge: randomBytes(32),
        pubKeyCredParams: [ED25519, ES256, RS256].map((alg) => ({ type: "public-key", alg })),
        authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
        timeout: TIMEOUT_MS,
        extensions: { prf: { eval: { first: salt } } },
      },
    }),
  );
  if (!made.getClientExtensionResults().prf?.enabled) throw new PageError("error.passkey.no-prf");
  const found = { id: base64(new Uint8Array(made.rawId)), salt: base64(salt) };
  // Some authenticators give the secret at once, others only when they are asked again.
  const secret = secretOf(made) ?? (await askPasskey(found));
  await call("addPasskey", { ...found, secret, credential });
}

/**
 * The secret of a passkey, from the authenticator.
 *
 * @param {Pick<Passkey, "id" | "salt">} which
 * @returns {Promise<Bytes>}
 */
export async function askPasskey({ id, salt }) {
  const shown = await credentialOf(
    navigator.credentials.get({
      publicKey: {
        challenge: randomBytes(32),
        allowCredentials: [{ type: "public-key", id: unbase64(id) }],
        userVerification: "required",
        timeout: TIMEOUT_MS,
        extensions: { prf: { eval: { first: unbase64(salt) } } },
      },
    }),
  );
  const secret = secretOf(shown);
  if (!secret) throw new PageError("error.passkey.no-prf");
  return secret;
}

/**
 * The browser says "NotAllowedError" for a person who cancelled and for a passkey that was deleted: the remedy is the
 * same, the passphrase.
 *
 * @param {Promise<globalThis.Credential | null>} asking
 */
async function credentialOf(asking) {
  try {
    const given = await asking;
    if (given instanceof PublicKeyCredential) return given;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
  throw new PageError("error.passkey");
}

/**
 * @param {PublicKeyCredential} credential
 * @returns {Bytes | undefined}
 */
function secretOf(credential) {
  const first = credential.getClientExtensionResults().prf?.results?.first;
  if (!first) return undefined;
  return ArrayBuffer.isView(first) ? new Uint8Array(first.buffer.slice(0)) : new Uint8Array(first);
}

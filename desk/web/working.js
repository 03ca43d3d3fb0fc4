// The proof of work of the public pages (desk/neighbourhood/proof_of_work.py), and what those pages share.

import { sha256hex } from "../../agent/web/src/wire/bytes.js";

/** Without cookies: a person who is signed in at this desk stays unknown, too. @type {RequestInit} */
export const BARE = { credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store" };

/** Shows `text` at the element with that id, or hides it. */
export function show(/** @type {string} */ id, /** @type {string | undefined} */ text) {
  const place = /** @type {HTMLElement} */ (document.getElementById(id));
  place.textContent = text ?? "";
  place.hidden = !text;
}

/** The most tries to send something. Its price rises at most five times within an hour. */
const MOST_TRIES = 6;

/**
 * Sends `body` with its proof of work, and works again if the price has risen meanwhile.
 *
 * @param {string} address
 * @param {Uint8Array<ArrayBuffer>} body
 * @param {{ from: string, prefix: string, worked?: Uint8Array }} token the token's address, what its two headers begin
 *   with, and the bytes that the work is for, if they are more than the body
 */
export async function sendWorked(address, body, { from, prefix, worked = body }) {
  for (let tries = 1; ; tries += 1) {
    const { token, nonce } = await workFor(from, worked);
    const headers = {
      "Content-Type": "application/octet-stream",
      [`${prefix}-Token`]: token,
      [`${prefix}-Nonce`]: nonce,
    };
    const answer = await fetch(address, { ...BARE, method: "POST", body, headers });
    if (answer.status !== 409 || tries === MOST_TRIES) return answer;
  }
}

/**
 * The token and the nonce for sending `worked`. A worker finds the nonce, so that the page stays alive meanwhile.
 *
 * @param {string} address of the token
 * @param {Uint8Array} worked
 */
async function workFor(address, worked) {
  const asked = await fetch(address, BARE);
  if (!asked.ok) throw new Error("no token");
  const { token, bits } = await asked.json();
  const worker = new Worker(new URL("tip_work.js", import.meta.url), { type: "module" });
  try {
    const digest = await sha256hex(worked);
    const nonce = await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = () => reject(new Error("the worker did not start"));
      worker.postMessage({ begin: `${token}.${digest}.`, bits });
    });
    return { token, nonce: String(nonce) };
  } finally {
    worker.terminate();
  }
}

// Asks the doorbell for an operation: one message there, one back (agent/wire/control.py). Every operation of the page
// goes through `fetchOp`: over HTTPS on the same origin, or through a session of the link, if away.js has opened one.
// That session is in link_session.js, and its cryptography in wire/link.js.
import { FormatError, LostError, PageError, RefusedError } from "./errors.js";
import { utf8 } from "./wire/bytes.js";
import { BODY_BYTES } from "./wire/operations.js";

/** @import { Bytes } from "./types.js" */
/** @import { ControlOperations } from "./wire/generated.js" */

/**
 * The head's arguments, optional if none is required, and the body.
 *
 * @template {keyof ControlOperations} Op
 * @typedef {{} extends ControlOperations[Op]["request"]
 *   ? [head?: ControlOperations[Op]["request"], body?: Uint8Array]
 *   : [head: ControlOperations[Op]["request"], body?: Uint8Array]} Arguments
 */

const TYPE = "application/vnd.doorward.frame";
const TIMEOUT_MS = 30_000;
/** The slowest way to the doorbell that carries a redacted film: half a megabit a second. */
const SLOWEST_BYTES_PER_MS = 64;

/**
 * How long an answer may take, in ms, for a question of this many bytes.
 *
 * @param {number} bytes
 */
export const patienceFor = (bytes) => TIMEOUT_MS + Math.ceil(bytes / SLOWEST_BYTES_PER_MS);

/** @type {typeof fetchOp | undefined} */
let through;

/**
 * @param {object} head
 * @param {Uint8Array} body
 */
export function frame(head, body = new Uint8Array()) {
  const text = utf8(JSON.stringify(head));
  const whole = new Uint8Array(8 + text.length + body.length);
  const view = new DataView(whole.buffer);
  view.setUint32(0, text.length);
  whole.set(text, 4);
  view.setUint32(4 + text.length, body.length);
  whole.set(body, 8 + text.length);
  return whole;
}

/**
 * @param {Bytes} bytes
 * @returns {{ head: any, body: Bytes }}
 */
export function readFrame(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const headSize = bytes.length >= 8 ? view.getUint32(0) : -1;
  if (headSize < 0 || headSize + 8 > bytes.length) throw new FormatError("error.format", { what: "frame" });
  const bodySize = view.getUint32(4 + headSize);
  // Exactly: a connection that was cut must not look like a short answer.
  if (8 + headSize + bodySize !== bytes.length) throw new FormatError("error.format", { what: "frame" });
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + headSize)));
  return { head, body: bytes.subarray(8 + headSize) };
}

/**
 * @param {string} path
 * @param {object} head
 * @param {Uint8Array} [body]
 * @returns {Promise<{ result: any, body: Bytes }>}
 */
async function post(path, head, body) {
  let response;
  let data;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": TYPE },
      body: frame(head, body),
      credentials: "same-origin",
      redirect: "error",
      signal: AbortSignal.timeout(patienceFor(body?.length ?? 0)),
    });
    data = new Uint8Array(await response.arrayBuffer());
  } catch {
    throw new LostError();
  }
  // Something between this browser and the doorbell has answered, for example a proxy that asks for a sign-in.
  if (response.headers.get("content-type") !== TYPE)
    throw new PageError("error.no-message", { status: response.status });
  const answer = readFrame(data);
  if (answer.head.ok === true) return { result: answer.head.result ?? {}, body: answer.body };
  throw new RefusedError(
    String(answer.head.error ?? ""),
    String(answer.head.remedy ?? ""),
    response.status,
    answer.head.kind,
  );
}

/**
 * Returns the `result` of an operation.
 *
 * @template {keyof ControlOperations} Op
 * @param {Op} op
 * @param {Arguments<Op>} values
 * @returns {Promise<ControlOperations[Op]["answer"]>}
 */
export const ask = async (op, ...values) => (await fetchOp(op, ...values)).result;

/**
 * Returns the `result` of an operation and the bytes that came with it.
 *
 * @template {keyof ControlOperations} Op
 * @param {Op} op
 * @param {Arguments<Op>} values
 * @returns {Promise<{ result: ControlOperations[Op]["answer"], body: Bytes }>}
 */
export async function fetchOp(op, ...values) {
  return through ? through(op, ...values) : fetchHere(op, ...values);
}

/**
 * The answer of the doorbell in this network, whatever session there is.
 *
 * @template {keyof ControlOperations} Op
 * @param {Op} op
 * @param {Arguments<Op>} values
 * @returns {Promise<{ result: ControlOperations[Op]["answer"], body: Bytes }>}
 */
export async function fetchHere(op, ...values) {
  const [head = {}, body] = values;
  // The doorbell closes the connection in the middle of a frame that is too large, which would hide the error.
  if (frame(head, body).length > BODY_BYTES[op]) throw new FormatError("error.format", { what: op });
  return post(`/api/${String(op)}`, head, body);
}

/**
 * Asks everything through `fetch` from now on; over HTTPS if it is undefined.
 *
 * @param {typeof fetchOp | undefined} fetch
 */
export function fetchThrough(fetch) {
  through = fetch;
}

/** @param {string} code */
export const pair = (code) => post("/pair", { code });

/**
 * The sealed code of a long press of the doorbell's button, or null if it was not held.
 *
 * @returns {Promise<Bytes | null>}
 */
export async function sealedButtonCode() {
  let response;
  try {
    response = await fetch("/button-code", { credentials: "same-origin", redirect: "error" });
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch {
    throw new LostError();
  }
  return null;
}

/**
 * The fingerprint of the authority that this doorbell offers, as phones show it: for the printed kit.
 *
 * @returns {Promise<string>}
 */
export async function authorityFingerprint() {
  try {
    const response = await fetch("/authority.crt", { credentials: "same-origin", redirect: "error" });
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await response.arrayBuffer()));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(" ");
  } catch {
    throw new LostError();
  }
}

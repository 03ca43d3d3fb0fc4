// The ledger's proofs and its signed head (LEDGER.md; RFC 6962, RFC 9162 section 2.1.4.2; C2SP signed notes).
import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js";
import { FormatError, OpenError } from "../errors.js";
import { concat, equal, sha256, unbase64, utf8 } from "./bytes.js";
import { verifies } from "./keys.js";

/** @import { Bytes, Checkpoint, PublicKey } from "../types.js" */

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
// The types of signatures in a note.
const ED25519 = Uint8Array.of(1);
const MLDSA = Uint8Array.of(6);
/** @param {Uint8Array} leaf */
export const leafHash = (leaf) => sha256(concat(LEAF, leaf));
/**
 * @param {Uint8Array} left
 * @param {Uint8Array} right
 */
export const nodeHash = (left, right) => sha256(concat(NODE, left, right));
const refuted = () => new OpenError("error.ledger-rewritten");

/**
 * The root of the tree over `hashes`.
 *
 * @param {Bytes[]} hashes
 */
export async function rootOf(hashes) {
  /** @type {Bytes[]} */
  const roots = [];
  let size = 0;
  for (let node of hashes) {
    for (let rest = size; rest & 1; rest >>= 1) node = await nodeHash(popped(roots), node);
    roots.push(node);
    size += 1;
  }
  if (!roots.length) return sha256(new Uint8Array());
  let root = popped(roots);
  while (roots.length) root = await nodeHash(popped(roots), root);
  return root;
}

/** @param {Bytes[]} roots of which there is one at least */
const popped = (roots) => /** @type {Bytes} */ (roots.pop());

/**
 * Throws unless the tree of `newSize` leaves begins with the one of `oldSize`.
 *
 * @param {number} oldSize
 * @param {Bytes} oldRoot
 * @param {number} newSize
 * @param {Bytes} newRoot
 * @param {Bytes[]} proof
 */
export async function checkConsistency(oldSize, oldRoot, newSize, newRoot, proof) {
  if (!(oldSize >= 0 && oldSize <= newSize)) throw refuted();
  if (oldSize === 0 || oldSize === newSize) {
    const expected = oldSize ? newRoot : await sha256(new Uint8Array());
    if (proof.length || !equal(oldRoot, expected)) throw refuted();
    return;
  }
  // RFC 9162, 2.1.4.2: the prover leaves out the root of a perfect old tree, because the checker has it.
  const isPerfect = Number.isInteger(Math.log2(oldSize));
  const path = isPerfect ? [oldRoot, ...proof] : [...proof];
  if (!path.length) throw refuted();
  let position = oldSize - 1;
  let last = newSize - 1;
  /** @param {number} number */
  const half = (number) => Math.floor(number / 2);
  // Halves, not shifts: JavaScript's shifts cut to 32 bits, and a size may have 53.
  while (position % 2) [position, last] = [half(position), half(last)];
  let [oldNode, newNode] = [path[0], path[0]];
  for (const sibling of path.slice(1)) {
    if (last === 0) throw refuted();
    if (position % 2 || position === last) {
      oldNode = await nodeHash(sibling, oldNode);
      newNode = await nodeHash(sibling, newNode);
      while (position % 2 === 0 && position) [position, last] = [half(position), half(last)];
    } else {
      newNode = await nodeHash(newNode, sibling);
    }
    [position, last] = [half(position), half(last)];
  }
  if (last !== 0 || !equal(oldNode, oldRoot) || !equal(newNode, newRoot)) throw refuted();
}

/**
 * The checkpoint in `note`: `{size, root}`, once both signatures of the device on it have verified.
 *
 * @param {string} note
 * @param {PublicKey} device
 * @param {Bytes} second its ML-DSA-44 key
 * @returns {Promise<Checkpoint>}
 */
export async function openCheckpoint(note, device, second) {
  const bytes = utf8(note);
  // signed-note: the signatures follow the last empty line.
  const cut = note.lastIndexOf("\n\n");
  if (bytes.length > 16384 || cut < 0) throw new FormatError("error.format", { what: "checkpoint" });
  const text = note.slice(0, cut + 1);
  const name = `doorward/${device.id}`;
  const lines = text.split("\n");
  if (lines.length !== 4 || lines[3] !== "" || !/^(0|[1-9][0-9]{0,15})$/.test(lines[1])) {
    throw new FormatError("error.format", { what: "checkpoint" });
  }
  const root = unbase64(lines[2]);
  const size = Number(lines[1]);
  const signed = signatureLines(note.slice(cut + 2));
  const [first] = await ownSignature(signed, name, concat(ED25519, device.raw), [64]);
  const [time, other] = await ownSignature(signed, name, concat(MLDSA, second), [8, 2420]);
  const isSigned =
    lines[0] === name &&
    root.length === 32 &&
    equal(time, new Uint8Array(8)) &&
    (await verifies(device, first, utf8(text))) &&
    ml_dsa44.verify(other, cosigned(name, size, root), second);
  if (!isSigned) throw new OpenError("error.not-signed");
  return { size, root, note };
}

/**
 * The bytes that the ML-DSA-44 key signs (c2sp.org/tlog-cosignature), for a whole tree and with the time 0.
 *
 * @param {string} name
 * @param {number} size
 * @param {Bytes} root
 */
function cosigned(name, size, root) {
  const named = concat(Uint8Array.of(name.length), utf8(name));
  const end = new Uint8Array(8);
  new DataView(end.buffer).setBigUint64(0, BigInt(size));
  return concat(utf8("subtree/v1\n\0"), named, new Uint8Array(8), named, new Uint8Array(8), end, root);
}

/**
 * Name and data of each signature line.
 *
 * @param {string} signatures
 */
function signatureLines(signatures) {
  const lines = signatures.split("\n");
  if (lines.pop() !== "" || lines.length < 1 || lines.length > 16)
    throw new FormatError("error.format", { what: "checkpoint" });
  return lines.map((line) => {
    const match = /^— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/.exec(line);
    if (!match) throw new FormatError("error.format", { what: "checkpoint" });
    return { owner: match[1], data: unbase64(match[2]) };
  });
}

/**
 * The data of the one line that claims to be of the key in `material`, in pieces of these sizes.
 *
 * @param {ReturnType<typeof signatureLines>} lines
 * @param {string} name
 * @param {Bytes} material the type of the signature, and the key
 * @param {number[]} sizes
 */
async function ownSignature(lines, name, material, sizes) {
  const keyHash = (await sha256(concat(utf8(`${name}\n`), material))).slice(0, 4);
  const own = lines.filter(({ owner, data }) => owner === name && equal(data.slice(0, 4), keyHash));
  const length = sizes.reduce((sum, size) => sum + size, 4);
  // A second line of the same key is refused instead of chosen from: two readers might choose differently.
  if (own.length !== 1 || own[0].data.length !== length) throw new OpenError("error.not-signed");
  const pieces = [];
  let at = 4;
  for (const size of sizes) {
    pieces.push(own[0].data.slice(at, at + size));
    at += size;
  }
  return pieces;
}

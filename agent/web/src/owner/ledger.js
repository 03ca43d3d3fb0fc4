// The doorbell's ledger, whole and verified in this browser (agent/clients/owner/ledger_reader.py).
import { OpenError } from "../errors.js";
import { ask } from "../link.js";
import { equal, utf8 } from "../wire/bytes.js";
import { leafHash, rootOf } from "../wire/ledger.js";
import { ledgerEntry } from "../wire/messages.js";
import { decode } from "../wire/strictjson.js";
import { syncDevice } from "./sync.js";

/** @import { Bytes } from "../types.js" */
const PAGE = 1000;

/** `{size, grown, entries}`, oldest first. Throws OpenError if the signed head does not cover these entries. */
export async function readLedger() {
  const synced = await syncDevice();
  const { size, root } = synced.checkpoint;
  /** @type {Bytes[]} */
  const leaves = [];
  while (leaves.length < size) {
    const start = leaves.length;
    const { entries } = await ask("ledger", { start, end: Math.min(start + PAGE, size) });
    if (!entries.length) break;
    leaves.push(...entries.map(utf8));
  }
  const hashes = await Promise.all(leaves.map(leafHash));
  if (leaves.length !== size || !equal(await rootOf(hashes), root)) throw new OpenError("error.ledger-rewritten");
  return {
    size,
    grown: synced.grown,
    device: synced.device.id,
    entries: leaves.map((leaf) => ({ ...ledgerEntry(decode(leaf, 2048)) })),
  };
}

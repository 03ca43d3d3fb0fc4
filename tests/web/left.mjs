// The page's list of shared footage: each case of argv[2] → the list, or the error's text.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { entriesOf } from "../../agent/web/src/owner/entries.js";
import { mergeItems, verified } from "../../agent/web/src/owner/shared.js";
import { unbase64 } from "../../agent/web/src/wire/bytes.js";
import { parseKey } from "../../agent/web/src/wire/keys.js";

const { device, cases } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const found = {};
for (const { name, enrolments, entries, disclosure, opened } of cases) {
  const met = /** @type {any} */ ({ device: await parseKey(device), known: { enrolments } });
  const yes = entries.find((entry) => ["approved", "tip"].includes(entry.kind) && entry.disclosure === disclosure);
  try {
    const { by, second, items } = await verified(unbase64(opened), yes, entries, met);
    found[name] = { by, second, items };
  } catch (error) {
    found[name] = error.text ?? String(error.stack);
  }
}
const film = (start, end, stored = true) => ({ kind: "film", id: "x", start, end, stored });
const still = (start) => ({ kind: "still", id: "x", start, end: start + 5000, stored: true });
const parts = [still(0), film(0, 5000), film(5050, 9000), still(9000), film(9000, 12_000, false), film(20_000, 21_000)];
found.mergeItems = mergeItems(parts).map(({ kind, start, end }) => [kind, start, end]);
// Two requesters used one id; the doorbell calls the later request by the hash of its payload.
const received = (requester, subject) => ({ kind: "received", request: "11", requester, subject });
/** @type {any[]} */
const log = [
  { kind: "opt-out", subject: "cc" },
  received("police", "aa"),
  received("insurer", "bb"),
  { kind: "denied", request: "11", requester: "insurer", reason: "requester no longer trusted" },
  { kind: "matched", request: "11", requester: "police", segments: 2 },
];
found.entriesOf = Object.fromEntries(
  ["11", "bb", "none"].map((name) => [name, entriesOf(log, name).map(({ kind, requester }) => [kind, requester])]),
);
process.stdout.write(JSON.stringify(found));

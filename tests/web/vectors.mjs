// Runs the page's own modules over the wire's vectors; prints one JSON object of what it found.
import "./globals.mjs";
import { readdirSync, readFileSync } from "node:fs";
import { FormatError, OpenError } from "../../agent/web/src/errors.js";
import { rootsToTakeOver } from "../../agent/web/src/owner/household_roots.js";
import { bounds, contains, openedSize, size } from "../../agent/web/src/wire/area.js";
import { base64, fromUtf8, hex, unbase64, unhex, utf8 } from "../../agent/web/src/wire/bytes.js";
import { open, pae, payloadType, readUnverified, seal, verify } from "../../agent/web/src/wire/envelope.js";
import { parseKey, publicKeyOfSeed } from "../../agent/web/src/wire/keys.js";
import { checkConsistency, leafHash, openCheckpoint, rootOf } from "../../agent/web/src/wire/ledger.js";
import * as messages from "../../agent/web/src/wire/messages.js";
import { openRecord, splitPoster } from "../../agent/web/src/wire/segment.js";
import { decode, encode } from "../../agent/web/src/wire/strictjson.js";
import { isOverLimit, lateLimit, TrustStore } from "../../agent/web/src/wire/trust.js";
import { parseTrustKey } from "../../agent/web/src/wire/trust_keys.js";

const root = new URL("../vectors/", import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(name, root), "utf8"));
/** @type {Record<string, any>} */
const found = {
  keys: 0,
  records: [],
  spelled: [],
  signed: 0,
  areas: 0,
  roots: 0,
  proofs: 0,
  broken: 0,
  refused: {},
  short: [],
  checkpoints: 0,
};

for (const key of read("wire/keys.json")) {
  const made = await publicKeyOfSeed(unhex(key.seed));
  if (made.text !== key.public || made.id !== key.key_id) throw new Error(key.name);
  await parseKey(key.public);
  found.keys++;
}
const device = await parseKey(readFileSync(new URL("vault/device.pub", root), "utf8").trim());
for (const chapter of readdirSync(new URL("vault/", root)).filter((name) => name.startsWith("manifest."))) {
  for (const line of readFileSync(new URL(`vault/${chapter}`, root), "utf8")
    .trim()
    .split("\n")) {
    const { kind } = decode(unbase64(decode(utf8(line), 1 << 20).payload), 1 << 20).record;
    try {
      found.records.push((await openRecord(line, device)).kind);
      const { mldsa, payload, sig } = decode(utf8(line), 1 << 20);
      if (mldsa !== undefined) {
        const short = fromUtf8(encode({ mldsa: base64(unbase64(mldsa).subarray(1)), payload, sig }));
        found.short.push(
          await openRecord(short, device).then(
            () => "taken",
            () => "refused",
          ),
        );
      }
    } catch (error) {
      // The page lists the other records by what the doorbell says of them, and opens footage by these two only.
      if (kind === "segment" || kind === "recovered") throw error;
    }
  }
}
const seed = unhex(read("wire/keys.json")[0].seed);
const signingKey = await publicKeyOfSeed(seed);
for (const name of readdirSync(new URL("wire/messages/", root))) {
  const { payload, payload_type: type } = read(`wire/messages/${name}`);
  const value = decode(utf8(payload), 1 << 20);
  const isPlain = !payload.includes('"lat"');
  if (isPlain && fromUtf8(encode(value)) !== payload) throw new Error(`${name}: another spelling`);
  if (isPlain) found.spelled.push(name);
  const reader = {
    "trust-bundle": messages.trustBundle,
    enrolment: messages.enrolment,
    "footage-request": messages.footageRequest,
  }[type?.split(".").at(-1).replace("+json", "")];
  reader?.(value);
  const sealed = await seal(payloadType("test"), utf8(payload), seed);
  await open(utf8(sealed), payloadType("test"), new Map([[signingKey.id, signingKey]]), 1 << 22);
  found.signed++;
}
for (const { area, size_m2: expected, opened_m2: opened, contains: places } of read("wire/areas.json")) {
  if (Math.abs(openedSize(area) - opened) > 0.01 * Math.max(1, opened / 1e6))
    throw new Error(`opened ${openedSize(area)} ${opened}`);
  for (const each of places)
    if (contains(area, each) !== each.inside) throw new Error(`${JSON.stringify(each)} of ${JSON.stringify(area)}`);
  if (Math.abs(size(area) - expected) > 0.01 * Math.max(1, expected / 1e6))
    throw new Error(`area ${size(area)} ${expected}`);
  if (!(bounds(area).south < bounds(area).north)) throw new Error("bounds");
  found.areas++;
}
found.late = read("wire/late.json").map((row) => lateLimit(row, { limits: row.limits }, row.now));
const trusted = read("wire/trust.json");
const rootKey = await parseTrustKey(trusted.root);
const trust = new TrustStore(new Map([[rootKey.id, rootKey]]));
await trust.accept(utf8(trusted.envelope));
// There, `<name>` stands for a signature of another file.
const signatures = read("wire/trust_signatures.json");
const packages = JSON.parse(
  readFileSync(new URL("wire/packages.json", root), "utf8").replace(
    /<([0-9a-f]{16}-[0-9a-f]{16})>/g,
    (_, name) => signatures[name],
  ),
);
found.packages = {};
for (const [group, before] of [["first"], ["after_seen", packages.seen], ["after_rotation", packages.rotated]]) {
  for (const [name, row] of Object.entries(packages[group])) {
    const store = new TrustStore(new Map([[rootKey.id, rootKey]]));
    if (before) await store.accept(utf8(before));
    found.packages[`${group}: ${name}`] = await taken(store, utf8(row.package));
  }
}

found.one_id = [];
/** @type {any} What the browser has stored. */
let stored = {};
for (const { root: text, bundle } of packages.of_one_id) {
  const chosen = await parseTrustKey(text);
  const store = new TrustStore(new Map([[chosen.id, chosen]]), stored);
  found.one_id.push(await taken(store, utf8(bundle)));
  await store.accept(utf8(bundle)).catch(() => {});
  stored = JSON.parse(JSON.stringify(store.newest));
}

found.taken_over = {};
for (const [name, { chosen, known }] of Object.entries(packages.taken_over)) {
  /** @param {string} text */
  const root = async (text) => ({ key: text, id: (await parseTrustKey(text)).id, by: "anna", at: 0 });
  const roots = rootsToTakeOver(await Promise.all(chosen.map(root)), await Promise.all(known.map(parseTrustKey)));
  found.taken_over[name] = [false, true].map((disputed) =>
    roots.filter((each) => each.isDisputed === disputed).map((each) => each.key),
  );
}

// A root that is not chosen shares no memory with another one.
const bundleOfNone = { bundle: { root: "0".repeat(64) } };
found.no_root = [];
try {
  new TrustStore().requireNewest(/** @type {any} */ (bundleOfNone));
} catch (error) {
  found.no_root.push(error instanceof OpenError && error.text);
}

found.sections = {};
for (const [name, row] of Object.entries(packages.sections)) {
  const store = new TrustStore(new Map([[rootKey.id, rootKey]]), {}, row.cell);
  const names = await store
    .accept(utf8(row.package))
    .then(({ requesters }) => requesters.map((each) => each.id))
    .catch((error) => (error instanceof OpenError ? error.text : "malformed"));
  found.sections[name] = names;
}

const moved = new TrustStore(new Map([[rootKey.id, rootKey]]), {}, "288-379");
const country = utf8(packages.sections["all, in the north"].package);
found.moved = [];
for (const [heard, agreedIn] of [[undefined, "287-379"], [country, "287-379"], [undefined, "288-379"], [undefined]]) {
  await moved.acceptShown(country, /** @type {Uint8Array | undefined} */ (heard), /** @type {any} */ (agreedIn));
  found.moved.push(moved.bundles.get(rootKey.id)?.requesters.map((each) => each.id));
}

const held = new TrustStore(new Map([[rootKey.id, rootKey]]));
const [listed] = trust.requesters(rootKey.id);
const signer = (await parseKey(listed.keys[0].key)).id;
const asks = () => held.resolve(rootKey.id, listed.id, signer, packages.now_s);
await held.acceptShown(undefined, utf8(packages.first.whole.package), undefined);
found.narrowed = [Boolean(await asks())];
await held.acceptShown(utf8(packages.first.whole.package), undefined, undefined);
found.narrowed.push(Boolean(await asks()));
await held.acceptShown(utf8(packages.first.whole.package), utf8(packages.seen), undefined);
found.narrowed.push(Boolean(await asks()), held.requesters(rootKey.id).length);
await held
  .acceptShown(utf8(packages.first.whole.package), undefined, undefined)
  .catch((error) => found.narrowed.push(error.text));
found.forked = [];
for (const name of ["root files 1 to 3 by the name key", "root files 2 and 3 by retired keys"]) {
  const thiefs = utf8(packages.after_rotation[name].package);
  const honest = utf8(packages.rotated);
  const seen = new TrustStore(new Map([[rootKey.id, rootKey]]));
  await seen.acceptShown(undefined, honest, undefined);
  // The browser stores what it has seen.
  const later = () => new TrustStore(new Map([[rootKey.id, rootKey]]), JSON.parse(JSON.stringify(seen.newest)));
  for (const [agreed, heard] of [[thiefs], [undefined, thiefs], [honest, thiefs], [thiefs, honest]]) {
    await later()
      .acceptShown(agreed, heard, undefined)
      .then(() => found.forked.push("accepted"))
      .catch((error) => found.forked.push(error.text));
  }
}

/**
 * True if the page would let the owner agree to the package.
 *
 * @param {TrustStore} store
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
async function taken(store, bytes) {
  try {
    const opened = await store.open(bytes);
    store.requireNewest(opened);
    return opened.endsS === undefined || opened.endsS >= packages.now_s;
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof OpenError)) throw error;
    return false;
  }
}
found.shown = {};
for (const file of readdirSync(new URL("wire/requests/", root))) {
  const { name, envelope, envelope_base64: coded } = read(`wire/requests/${file}`);
  found.shown[name] = await shows(coded === undefined ? utf8(envelope) : unbase64(coded));
}

/**
 * True if the page shows the request, by the steps of owner/review.js.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
async function shows(bytes) {
  try {
    const claimed = readUnverified(bytes);
    if (claimed.type !== payloadType("footage-request")) return false;
    const request = messages.footageRequest(decode(claimed.payload));
    const requester = await trust.resolve(request.trust_root, request.requester, claimed.keyId, trusted.now_s);
    if (!requester) return false;
    await verify(claimed, new Map([[requester.key.id, requester.key]]));
    return !isOverLimit(request, requester);
  } catch {
    return false;
  }
}
const merkle = read("ledger/merkle.json");
const hashes = await Promise.all(merkle.leaves.map((leaf) => leafHash(unhex(leaf))));
for (const [count, expected] of merkle.roots.entries()) {
  if (hex(await rootOf(hashes.slice(0, count))) !== expected) throw new Error(`root of ${count}`);
  found.roots++;
}
for (const [from, proof] of merkle.consistency.entries()) {
  const [to, steps] = [merkle.leaves.length, proof.map(unhex)];
  /** @type {[number, Uint8Array<ArrayBuffer>, number, Uint8Array<ArrayBuffer>]} */
  const heads = [from, unhex(merkle.roots[from]), to, unhex(merkle.roots[to])];
  await checkConsistency(...heads, steps);
  found.proofs++;
  let holds = true;
  await checkConsistency(...heads, [...steps, new Uint8Array(32)]).catch(() => (holds = false));
  if (!holds) found.broken++;
}
for (const text of JSON.parse(process.argv[2])) {
  try {
    decode(utf8(text));
    found.refused[text] = false;
  } catch {
    found.refused[text] = true;
  }
}
for (const note of read("ledger/checkpoint.json").notes) {
  const device = await parseKey(read("wire/keys.json").find((key) => note.includes(key.key_id))?.public ?? "");
  const second = unbase64(read("ledger/checkpoint.json").mldsa_verifier_key.split("+").slice(2).join("+")).slice(1);
  await openCheckpoint(note, device, second);
  found.checkpoints++;
  const lines = note.split("\n");
  for (const wrong of [
    // Node 18 of Debian 12 has neither toSpliced nor with.
    lines.filter((_, number) => number !== 5).join("\n"),
    lines.filter((_, number) => number !== 4).join("\n"),
    `${note}${lines[5]}\n`,
    lines.map((line, number) => (number === 5 ? `${line.slice(0, -6)}AAAA==` : line)).join("\n"),
  ]) {
    let refused = false;
    await openCheckpoint(wrong, device, second).catch(() => (refused = true));
    if (!refused) found.checkpoints = Number.NaN;
  }
}
found.seen = {};
for (const name of [
  "plaintext.mp4",
  "plaintext_seen.mp4",
  ...readdirSync(new URL("vault/bad/", root))
    .filter((each) => each.startsWith("plaintext_seen"))
    .map((each) => `bad/${each}`),
]) {
  const data = readFileSync(new URL(`vault/${name}`, root));
  try {
    found.seen[name] = messages.context(decode(data.subarray(data.indexOf('{"')), 2048)).seen ?? null;
  } catch {
    found.seen[name] = "refused";
  }
}
found.posters = {};
for (const name of [
  "poster.jpg",
  ...readdirSync(new URL("vault/bad/", root))
    .filter((each) => each.endsWith(".jpg"))
    .map((each) => `bad/${each}`),
]) {
  try {
    const { image, context } = splitPoster(new Uint8Array(readFileSync(new URL(`vault/${name}`, root))));
    found.posters[name] = [hex(image), context.seen ?? null];
  } catch {
    found.posters[name] = "refused";
  }
}
found.pae = hex(pae("t", utf8("x")));
process.stdout.write(JSON.stringify(found));

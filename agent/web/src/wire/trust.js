// Roots this owner chose and what they signed (agent/wire/trust.py, trust_package.py), and the hard limits of every
// request.

import { FormatError, OpenError } from "../errors.js";
import { bounds, encloses, openedSize, size } from "./area.js";
import { CLOCK_SLACK_S } from "./bounds.js";
import { sha256hex, utf8 } from "./bytes.js";
import { payloadType } from "./envelope.js";
import { parseKey } from "./keys.js";
import {
  BUNDLE_ENVELOPE_LIMIT,
  BUNDLE_LIMIT,
  cellPlace,
  distinctRequesters,
  PACKAGE_LIMIT,
  ROOT_ENVELOPE_LIMIT,
  rootFile,
  trustBundle,
  trustPackage,
  trustSection,
  trustTimestamp,
} from "./messages.js";
import { decode } from "./strictjson.js";
import { parseTrustKey, readSeveral, requireSigners } from "./trust_keys.js";

/** @import { Newest, OpenedBundle, Requester, Signers, TrustKey } from "../types.js" */
/** @import * as Wire from "./generated.js" */
/** @typedef {{ limits?: Wire.EntryLimits, now?: { limits?: Wire.EntryLimits } }} Limited */
/** @typedef {keyof typeof HARD} Bound */

const HARD = {
  window_min_s: 900,
  window_max_s: 12 * 3600,
  area_min_m2: 64750,
  area_max_m2: 1294994,
  look_back_max_s: 45 * 86400,
  life_max_s: 30 * 86400,
  retention_max_days: 3653,
};

export class TrustStore {
  /**
   * @param {Map<string, TrustKey>} roots by key id
   * @param {Newest} newest what was ever seen of each pair, by its text
   * @param {string | null} [cell] the doorbell's: requesters of sections count only if they may ask in it
   */
  constructor(roots = new Map(), newest = {}, cell = null) {
    this.roots = roots;
    this.cell = cell;
    this.newest = { ...newest };
    /** @type {Map<string, Wire.TrustBundle>} Of each root the bundle that an owner agreed to. */
    this.bundles = new Map();
    /** @type {Map<string, Wire.TrustBundle>} Newer ones of which the doorbell has heard: they only take rights away. */
    this.heard = new Map();
    /** @type {Map<string, number>} The root file that came with the bundle of `bundles`. */
    this.rootVersions = new Map();
    /** @type {Map<string, number>} When the newest timestamp of each root ends. A root without packages has none. */
    this.freshUntil = new Map();
    /** @type {Map<string, Signers>} Who signs the lists of each root. A root without packages has none. */
    this.signers = new Map();
  }

  /**
   * Takes a signed bundle or package of one of the roots. One that is older than what was seen is refused.
   *
   * @param {Uint8Array} bytes
   */
  async accept(bytes) {
    const opened = await this.open(bytes);
    this.requireNewest(opened);
    this.#note(opened);
    this.#agree(opened);
    this.heard.delete(opened.bundle.root);
    return opened.bundle;
  }

  /**
   * Takes what the doorbell shows of one root: the bundle that an owner agreed to, and a newer package if it has heard
   * of one.
   *
   * @param {Uint8Array | undefined} agreed
   * @param {Uint8Array | undefined} heard
   * @param {string | undefined} agreedIn the doorbell's cell at the time of the agreement
   */
  async acceptShown(agreed, heard, agreedIn) {
    const before = agreed && (await this.#openAgreed(agreed, agreedIn));
    if (before && !heard) {
      this.requireNewest(before);
      this.#note(before);
      this.#agree(before);
    }
    if (!heard) return;
    const opened = await this.open(heard);
    this.requireNewest(opened);
    this.#note(opened);
    // The names that an owner sees are those of `before`, so it must not be of a thief of earlier keys.
    if (before && !before.fileSha256s.every((each, i) => each === opened.fileSha256s[i]))
      throw new OpenError("error.forked-package");
    if (before) this.#agree(before);
    this.heard.set(opened.bundle.root, opened.bundle);
  }

  /**
   * Opens what an owner agreed to. A section can hold requesters of several cells, and the owner saw those of one. In
   * another cell the agreement holds for the requesters of both (agent/core/trust_change.py, open_agreed).
   *
   * @param {Uint8Array} bytes
   * @param {string | undefined} agreedIn
   */
  async #openAgreed(bytes, agreedIn) {
    const opened = await this.open(bytes);
    if (!isPackage(bytes) || agreedIn === (this.cell ?? undefined)) return opened;
    const then = (await openPackage(bytes, this.roots, agreedIn ?? null)).bundle.requesters.map((each) => each.id);
    const requesters = opened.bundle.requesters.filter((each) => then.includes(each.id));
    return { ...opened, bundle: { ...opened.bundle, requesters } };
  }

  /** @param {OpenedBundle} opened */
  #agree({ bundle, seen }) {
    this.bundles.set(bundle.root, bundle);
    this.rootVersions.set(bundle.root, seen.root_version);
  }

  /**
   * The text of the chosen root with that id. A forger of Ed25519 can have the id, and would lock the root out with a
   * high version. Throws for another root: all of those would have one memory.
   *
   * @param {string} id
   */
  #pair(id) {
    const root = this.roots.get(id);
    if (!root) throw new OpenError("error.not-signed");
    return root.text;
  }

  /** @param {OpenedBundle} opened */
  #note({ bundle, seen, file, keysSince, endsS }) {
    this.newest[this.#pair(bundle.root)] = seen;
    if (file)
      this.signers.set(bundle.root, {
        keys: file.keys.length,
        least: file.threshold,
        changedS: keysSince?.issued_s ?? null,
      });
    if (endsS !== undefined) this.freshUntil.set(bundle.root, endsS);
  }

  /**
   * Verifies a bundle's envelope or a package below the roots. It looks at no version.
   *
   * @param {Uint8Array} bytes
   * @returns {Promise<OpenedBundle>}
   */
  async open(bytes) {
    if (isPackage(bytes)) return openPackage(bytes, this.roots, this.cell);
    const opened = readSeveral(bytes, payloadType("trust-bundle"), BUNDLE_ENVELOPE_LIMIT);
    await requireSigners(opened, 1, this.roots);
    const bundle = trustBundle(decode(opened.payload, BUNDLE_LIMIT));
    if (opened.signatures.length !== 1 || bundle.root !== opened.signatures[0].keyId)
      throw new FormatError("error.format", { what: "root" });
    const sha256 = await sha256hex(opened.payload);
    const seen = { version: bundle.version, sha256, root_version: 0, timestamp: 0, root_sha256: "" };
    return { bundle, seen, fileSha256s: [] };
  }

  /**
   * Throws if the root has published something newer, as far as this browser has seen, or if the newest root file that
   * it has seen is another one here: stolen keys of an earlier root file could sign another chain with higher versions.
   *
   * @param {OpenedBundle} opened
   */
  requireNewest({ bundle, seen: now, fileSha256s }) {
    const seen = this.newest[this.#pair(bundle.root)];
    if (!seen) return;
    const isSame = seen.version === now.version && seen.sha256 === now.sha256;
    const roots = now.root_version - seen.root_version;
    const isOlder = roots < 0 || (roots === 0 && now.timestamp < seen.timestamp);
    if (isOlder || (!isSame && now.version <= seen.version)) throw new OpenError("error.older-bundle");
    if (seen.root_version > 0 && fileSha256s[seen.root_version - 1] !== seen.root_sha256)
      throw new OpenError("error.forked-package");
  }

  /**
   * The requesters of a root who may ask at this doorbell, with the rights that an owner agreed to.
   *
   * @param {string} root
   * @returns {(Wire.RequesterEntry & { now?: Wire.RequesterEntry })[]}
   */
  requesters(root) {
    const heard = this.heard.get(root);
    return (this.bundles.get(root)?.requesters ?? []).flatMap((entry) => {
      if (!heard) return [entry];
      const now = heard.requesters.find((each) => each.id === entry.id);
      if (!now || now.kind !== entry.kind) return [];
      return [{ ...entry, tips: entry.tips === now.tips ? entry.tips : undefined, now }];
    });
  }

  /**
   * The requester of that id and key under that root, if the key may be used at `atS`.
   *
   * @param {string} root
   * @param {string} requester
   * @param {any} keyId
   * @param {number} atS
   * @returns {Promise<Requester | undefined>}
   */
  async resolve(root, requester, keyId, atS) {
    const entry = this.requesters(root).find((each) => each.id === requester);
    if (!entry) return undefined;
    const key = await keyInForce(entry, keyId, atS);
    if (!key || (entry.now && !(await keyInForce(entry.now, keyId, atS)))) return undefined;
    return { ...entry, root, key };
  }
}

/**
 * @param {Wire.RequesterEntry} entry
 * @param {string} keyId
 * @param {number} atS
 */
async function keyInForce(entry, keyId, atS) {
  for (const held of entry.keys) {
    const key = await parseKey(held.key);
    if (key.id === keyId && !held.revoked && held.from_s <= atS && atS <= held.until_s) return key;
  }
  return undefined;
}

const PACKAGE = utf8('{"bundle":');

/**
 * True for a package, false for a bundle's own envelope.
 *
 * @param {Uint8Array} bytes
 */
const isPackage = (bytes) => PACKAGE.every((byte, i) => bytes[i] === byte);

/**
 * Verifies a package from the name key down to the timestamp.
 *
 * @param {Uint8Array} bytes
 * @param {Map<string, TrustKey>} roots
 * @param {string | null} cell
 * @returns {Promise<OpenedBundle>}
 */
async function openPackage(bytes, roots, cell) {
  const parts = trustPackage(decode(bytes, PACKAGE_LIMIT));
  const { file, keysSince, sha256s: fileSha256s } = await openRootFiles(parts.roots.map(utf8), roots);
  const claimed = readSeveral(utf8(parts.bundle), payloadType("trust-bundle"), BUNDLE_ENVELOPE_LIMIT);
  await requireSigners(claimed, file.threshold, await keysById(file.keys));
  const keys = await keysById(file.timestamp_keys);
  const stamped = readSeveral(utf8(parts.timestamp), payloadType("trust-timestamp"), ROOT_ENVELOPE_LIMIT);
  await requireSigners(stamped, 1, keys);
  const stamp = trustTimestamp(decode(stamped.payload));
  const sha256 = await sha256hex(claimed.payload);
  const root_sha256 = fileSha256s[file.version - 1];
  // Each part is signed, and a broker could still put parts of several packages together.
  const isFitting =
    stamp.root === file.root &&
    stamp.root_version === file.version &&
    stamp.root_sha256 === root_sha256 &&
    stamp.bundle_sha256 === sha256;
  if (!isFitting) throw new OpenError("error.mixed-package");
  const head = trustBundle(decode(claimed.payload, BUNDLE_LIMIT));
  const bundle = await joined(head, (parts.sections ?? []).map(utf8), cell);
  if (bundle.root !== file.root || stamp.bundle_version !== bundle.version)
    throw new FormatError("error.format", { what: "root" });
  const seen = { version: bundle.version, sha256, root_version: file.version, timestamp: stamp.version, root_sha256 };
  return { bundle, seen, file, keysSince, fileSha256s, endsS: Math.min(stamp.expires_s, file.expires_s) };
}

/**
 * The bundle with the requesters of its sections that may ask in the cell. Throws for a section that it does not name.
 *
 * @param {Wire.TrustBundle} head
 * @param {Uint8Array[]} sections
 * @param {string | null} cell
 * @returns {Promise<Wire.TrustBundle>}
 */
async function joined({ sections: named = [], ...head }, sections, cell) {
  const given = await Promise.all(sections.map(sha256hex));
  const known = named.map((each) => each.sha256).filter((each) => given.includes(each));
  if (known.length !== given.length || known.some((each, i) => each !== given[i]))
    throw new OpenError("error.mixed-package");
  const others = sections.flatMap((bytes) => trustSection(decode(bytes, BUNDLE_LIMIT)).requesters);
  distinctRequesters({ ...head, requesters: [...head.requesters, ...others] });
  const local = cell ? others.filter((entry) => entry.regions.some((region) => touches(region, cell))) : others;
  return { ...head, requesters: [...head.requesters, ...local] };
}

/**
 * True if a part of the region lies in the cell (PROTOCOL.md, section 9).
 *
 * @param {Wire.TrustRegion} region
 * @param {string} cell
 */
function touches({ south_west: low, north_east: high }, cell) {
  /** @param {{ lat: number, lon: number }} point */
  const place = ({ lat, lon }) => [halfDegrees(lat, 90, 359), halfDegrees(lon, 180, 719)];
  const [first, last] = [place(low), place(high)];
  return cellPlace(cell).every((at, i) => first[i] <= at && at <= last[i]);
}

/**
 * @param {number} degrees
 * @param {number} least
 * @param {number} most
 */
const halfDegrees = (degrees, least, most) =>
  Math.min(Math.floor((Math.round(degrees * 1e7) + least * 1e7) / 5e6), most);

/**
 * The newest root file, the one that changed the keys or the threshold last, and the hash of the payload of each.
 *
 * @param {Uint8Array[]} envelopes from version 1 on
 * @param {Map<string, TrustKey>} roots
 */
async function openRootFiles(envelopes, roots) {
  /** @type {Wire.RootFile | undefined} */
  let before;
  /** @type {Wire.RootFile | undefined} */
  let keysSince;
  const sha256s = [];
  for (const bytes of envelopes) {
    const claimed = readSeveral(bytes, payloadType("trust-root"), ROOT_ENVELOPE_LIMIT);
    const file = rootFile(decode(claimed.payload));
    const name = roots.get(file.root);
    if (!name) throw new OpenError("error.not-signed");
    // The key by which owners chose the root vouches for the first file only.
    const old = before ? await keysById(before.keys) : new Map([[name.id, name]]);
    if (file.version !== (before?.version ?? 0) + 1 || (before && before.root !== file.root))
      throw new FormatError("error.format", { what: "roots" });
    const own = await keysById(file.keys);
    await requireSigners(claimed, file.threshold, own, old);
    await requireSigners(claimed, before?.threshold ?? 1, old, own);
    if (before && signersOf(before) !== signersOf(file)) keysSince = file;
    before = file;
    sha256s.push(await sha256hex(claimed.payload));
  }
  if (!before) throw new FormatError("error.format", { what: "roots" });
  return { file: before, keysSince, sha256s };
}

/** @param {Wire.RootFile} file */
const signersOf = ({ keys, threshold }) => JSON.stringify([[...keys].sort(), threshold]);

/**
 * The key id of the root that a bundle or package claims to be of. Nothing is verified.
 *
 * @param {Uint8Array} bytes
 */
export function claimedRoot(bytes) {
  if (!isPackage(bytes))
    return readSeveral(bytes, payloadType("trust-bundle"), BUNDLE_ENVELOPE_LIMIT).signatures[0].keyId;
  const first = trustPackage(decode(bytes, PACKAGE_LIMIT)).roots[0];
  return rootFile(decode(readSeveral(utf8(first), payloadType("trust-root"), ROOT_ENVELOPE_LIMIT).payload)).root;
}

/** @param {string[]} texts */
async function keysById(texts) {
  const keys = await Promise.all(texts.map(parseTrustKey));
  return new Map(keys.map((key) => [key.id, key]));
}

/**
 * The limit of time that a request is over, at whatever moment up to `nowS` it was asked (agent/wire/limits.py).
 *
 * @param {Pick<Wire.FootageRequest, "from" | "to" | "not_after">} request
 * @param {Limited} requester
 * @param {number} nowS
 * @returns {string | null}
 */
export function lateLimit(request, requester, nowS) {
  /** @type {string | null | undefined} */
  const narrower = requester.now && lateLimit(request, requester.now, nowS);
  if (narrower) return narrower;
  /** @param {Bound} name */
  const most = (name) => Math.min(HARD[name], requester.limits?.[name] ?? Number.POSITIVE_INFINITY);
  if (request.to > nowS + CLOCK_SLACK_S) return "window in the future";
  if (request.not_after > nowS + most("life_max_s")) return "expires too late";
  if (request.from < request.not_after - most("life_max_s") - most("look_back_max_s")) return "look-back too far";
  return null;
}

/**
 * True if the device had to block this request. These limits are fixed.
 *
 * @param {Wire.FootageRequest} request
 * @param {Wire.RequesterEntry & { now?: Wire.RequesterEntry }} requester
 * @returns {boolean}
 */
export function isOverLimit(request, requester) {
  if (requester.now && isOverLimit(request, requester.now)) return true;
  const own = requester.limits ?? {};
  /** @param {Bound} name */
  const least = (name) => Math.max(HARD[name], own[name] ?? 0);
  /** @param {Bound} name */
  const most = (name) => Math.min(HARD[name], own[name] ?? Number.POSITIVE_INFINITY);
  const window = request.to - request.from;
  const area = size(request.area);
  const inRegion = requester.regions.some(({ south_west: sw, north_east: ne }) =>
    encloses({ south: sw.lat, west: sw.lon, north: ne.lat, east: ne.lon }, bounds(request.area)),
  );
  return (
    window < least("window_min_s") ||
    window > most("window_max_s") ||
    area > most("area_max_m2") ||
    openedSize(request.area) < least("area_min_m2") ||
    area < least("area_min_m2") ||
    request.retention_days > most("retention_max_days") ||
    request.kind !== requester.kind ||
    !inRegion
  );
}

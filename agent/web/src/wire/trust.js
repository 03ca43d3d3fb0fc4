// Roots this owner chose and the bundles they signed (agent/wire/trust.py), and the hard limits of every request.

import { FormatError, OpenError } from "../errors.js";
import { bounds, encloses, openedSize, size } from "./area.js";
import { CLOCK_SLACK_S } from "./bounds.js";
import { sha256hex } from "./bytes.js";
import { open, payloadType } from "./envelope.js";
import { parseKey } from "./keys.js";
import { BUNDLE_ENVELOPE_LIMIT, BUNDLE_LIMIT, trustBundle } from "./messages.js";
import { decode } from "./strictjson.js";

/** @import { Newest, PublicKey, Requester } from "../types.js" */
/** @import * as Wire from "./generated.js" */
/** @typedef {{ limits?: Wire.EntryLimits }} Limited */
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
   * @param {Map<string, PublicKey>} roots by key id
   * @param {Newest} newest what was ever seen of each root
   */
  constructor(roots = new Map(), newest = {}) {
    this.roots = roots;
    this.newest = { ...newest };
    /** @type {Map<string, Wire.TrustBundle>} The newest of each root. */
    this.bundles = new Map();
  }

  /**
   * Takes a signed bundle of one of the roots; what it changes.  An older one than seen is refused.
   *
   * @param {Uint8Array} bytes
   */
  async accept(bytes) {
    const opened = await open(bytes, payloadType("trust-bundle"), this.roots, BUNDLE_ENVELOPE_LIMIT);
    const bundle = trustBundle(decode(opened.payload, BUNDLE_LIMIT));
    if (bundle.root !== opened.keyId) throw new FormatError("error.format", { what: "root" });
    const seen = this.newest[bundle.root];
    const sha256 = await sha256hex(opened.payload);
    const isSame = seen && seen.version === bundle.version && seen.sha256 === sha256;
    if (seen && !isSame && bundle.version <= seen.version) throw new OpenError("error.older-bundle");
    this.bundles.set(bundle.root, bundle);
    this.newest[bundle.root] = { version: bundle.version, sha256 };
    return bundle;
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
    const entry = this.bundles.get(root)?.requesters.find((each) => each.id === requester);
    for (const held of entry?.keys ?? []) {
      const key = await parseKey(held.key);
      const isInForce = !held.revoked && held.from_s <= atS && atS <= held.until_s;
      if (entry && key.id === keyId && isInForce) return { ...entry, root, key };
    }
    return undefined;
  }
}

/**
 * The limit of time that a request is over, at whatever moment up to `nowS` it was asked (agent/wire/limits.py).
 *
 * @param {Pick<Wire.FootageRequest, "from" | "to" | "not_after">} request
 * @param {Limited} requester
 * @param {number} nowS
 */
export function lateLimit(request, requester, nowS) {
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
 * @param {Requester} requester
 */
export function isOverLimit(request, requester) {
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

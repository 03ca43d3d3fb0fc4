// The small types that messages are made of (agent/wire/fields.py). A checker takes a value and its place in the
// message. It returns the value or throws a FormatError that names the place and keeps the value out.
import { FormatError } from "../errors.js";
import { base64url, unbase64url } from "./bytes.js";
import { requireKey } from "./keys.js";
import { isPlain } from "./text.js";

/**
 * @template T
 * @typedef {(value: any, place?: string) => T} Checker
 */
/**
 * @template C
 * @typedef {C extends Checker<infer T> ? T : never} Checked
 */
/** @typedef {Record<string, Checker<any>>} Members */
/**
 * The members of a group; empty if no group was given.
 *
 * @template {Members} G
 * @typedef {string extends keyof G ? {} : { [K in keyof G]: Checked<G[K]> }} ValuesOf
 */
/**
 * @template {Members} R
 * @template {Members} O
 * @template {Members} D
 * @typedef {ValuesOf<R> & Partial<ValuesOf<O>> & Partial<ValuesOf<D>>} ObjectOf
 */

/** @param {string} [place] */
const wrong = (place) => new FormatError("error.format", { what: place });

/** @type {(pattern: RegExp) => Checker<string>} */
export const text = (pattern) => (value, place) => {
  if (typeof value !== "string" || !pattern.test(value)) throw wrong(place);
  return value;
};

/** @type {(least: number, most: number) => Checker<number>} */
export const integer = (least, most) => (value, place) => {
  if (!Number.isSafeInteger(value) || value < least || value > most) throw wrong(place);
  return value;
};

/** @type {(least: number, most: number) => Checker<number>} */
export const number = (least, most) => (value, place) => {
  if (typeof value !== "number" || value < least || value > most) throw wrong(place);
  return value;
};

/** @type {<const T>(...choices: T[]) => Checker<T>} */
export const one =
  (...choices) =>
  (value, place) => {
    if (!choices.includes(value)) throw wrong(place);
    return value;
  };

/** @type {Checker<boolean>} */
export const flag = one(true, false);

/** @type {<T>(item: Checker<T>, least?: number, most?: number) => Checker<T[]>} */
export const list =
  (item, least = 0, most = Number.POSITIVE_INFINITY) =>
  (value, place) => {
    if (!Array.isArray(value) || value.length < least || value.length > most) throw wrong(place);
    for (const [i, member] of value.entries()) item(member, `${place}[${i}]`);
    return value;
  };

/** @type {<T>(member: Checker<T>) => Checker<[T, T]>} */
export const pair = (member) => (value, place) => {
  const [first, second] = list(member, 2, 2)(value, place);
  return [first, second];
};

/**
 * An object with exactly these members. `null` in an optional one means absent. In a `defaulted` one `null` is a fault:
 * there absence means a defined value (PROTOCOL.md section 1, rule 6).
 *
 * @type {<R extends Members, O extends Members = {}, D extends Members = {}>(
 *   required: R, optional?: O, defaulted?: D) => Checker<ObjectOf<R, O, D>>}
 */
export const object =
  (required, optional, defaulted) =>
  (value, place = "message") => {
    if (value === null || typeof value !== "object" || Array.isArray(value)) throw wrong(place);
    const groups = [required, optional ?? {}, defaulted ?? {}];
    for (const key of Object.keys(value)) {
      // Own keys only: with `in`, every object would have a `constructor`.
      if (!groups.some((group) => Object.hasOwn(group, key))) throw wrong(`${place}: unknown key`);
    }
    /** @param {string} key */
    const member = (key) => (Object.hasOwn(value, key) ? value[key] : undefined);
    for (const [key, check] of Object.entries(required)) check(member(key), `${place}.${key}`);
    for (const [key, check] of Object.entries(optional ?? {})) {
      if (member(key) === null) delete value[key];
      if (member(key) !== undefined) check(value[key], `${place}.${key}`);
    }
    for (const [key, check] of Object.entries(defaulted ?? {})) {
      if (member(key) !== undefined) check(value[key], `${place}.${key}`);
    }
    return value;
  };

/**
 * `check`, and then whatever else must hold of the value.
 *
 * @type {<T>(check: Checker<T>, rule: (value: T) => boolean) => Checker<T>}
 */
export const also =
  (check, rule) =>
  (value, place = "message") => {
    const found = check(value, place);
    if (!rule(found)) throw wrong(place);
    return found;
  };

/**
 * One of several objects, told apart by the text in member `tag`. The type demands that each key of `kinds` is the tag
 * that its checker reads. A checker under another key would never be asked.
 *
 * @type {<T extends string, K extends { [N in keyof K]: Checker<Record<T, N>> }>(
 *   tag: T, kinds: K) => Checker<Checked<K[keyof K]>>}
 */
export const tagged =
  (tag, kinds) =>
  (value, place = "message") => {
    const kind = value?.[tag];
    if (typeof kind !== "string" || !Object.hasOwn(kinds, kind)) throw wrong(`${place}.${tag}`);
    return /** @type {Members} */ (kinds)[kind](value, place);
  };

/**
 * Throws FormatError if a value stands twice.
 *
 * @param {unknown[]} values
 * @param {string} place
 */
export function distinct(values, place) {
  if (new Set(values).size !== values.length) throw wrong(`${place}: an entry stands twice`);
}

const BECH32 = "[02-9ac-hj-np-z]";
const LATEST_S = 253402300799;
export const MAX_INTEGER = Number.MAX_SAFE_INTEGER;

export const version1 = one(1);
export const hexId = text(/^[0-9a-f]{32}$/);
export const sha256Text = text(/^[0-9a-f]{64}$/);
export const keyId = text(/^[0-9a-f]{16}$/);
const keyForm = text(/^ed25519:[A-Za-z0-9_-]{43}$/);
/** @type {Checker<string>} */
export const keyText = (value, place) => {
  keyForm(value, place);
  requireKey(value);
  return value;
};
const trustKeyForm = text(/^ed25519:[A-Za-z0-9_-]{43}\+mldsa44:[A-Za-z0-9_-]{43}$/);
/** @type {Checker<string>} */
export const trustKeyText = (value, place) => {
  trustKeyForm(value, place);
  const [first, second] = value.split("+mldsa44:");
  requireKey(first);
  if (base64url(unbase64url(second)) !== second) throw wrong(place);
  return value;
};
export const label = text(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/);
export const segmentId = text(/^[a-z2-7]{26}$/);
export const hybridRecipient = text(new RegExp(`^age1pq1${BECH32}{1952}$`));
export const recipient = text(new RegExp(`^age1(pq1${BECH32}{1952}|${BECH32}{58})$`));
export const base64Text = also(text(/^[A-Za-z0-9+/]*={0,2}$/), isCanonical);
/** An ML-DSA-44 key: 1 312 bytes. */
export const mldsaText = also(base64Text, (value) => value.length === 1752 && value.endsWith("=="));
/** A signature by it: 2 420 bytes. */
export const mldsaSignature = also(base64Text, (value) => value.length === 3228 && /[^=]=$/.test(value));

/**
 * RFC 4648 section 4 with padding: decoding and encoding again gives the same text.
 *
 * @param {string} value
 */
function isCanonical(value) {
  try {
    return btoa(atob(value)) === value;
  } catch {
    return false;
  }
}

/**
 * Clean text (PROTOCOL.md section 2) of 1 to `most` characters.
 *
 * @type {(most: number) => Checker<string>}
 */
export const plainText = (most) => (value, place) => {
  if (typeof value !== "string" || !isPlain(value, most)) throw wrong(place);
  return value;
};
export const utcS = integer(0, LATEST_S);
export const utcMs = integer(0, LATEST_S * 1000);
export const sequence = integer(1, MAX_INTEGER);
export const count = integer(0, MAX_INTEGER);
export const anyText = text(/^/);
/** @type {(most: number) => Checker<string>} */
export const shortText = (most) => (value, place) => {
  if (typeof value !== "string" || value === "" || Array.from(value).length > most) throw wrong(place);
  return value;
};

// JSON that two parsers cannot read differently: PROTOCOL.md section 1, as agent/wire/strictjson.py has it.

import { FormatError } from "../errors.js";
import { MAX_DEPTH } from "./bounds.js";
import { fromUtf8, utf8 } from "./bytes.js";

/** @param {string} what */
const bad = (what) => new FormatError("error.format", { what });

/**
 * `bytes` as a value; objects have a null prototype. Throws FormatError.
 *
 * @param {Uint8Array} bytes
 * @param {number} [limit]
 * @returns {any}
 */
export function decode(bytes, limit = 8192) {
  if (bytes.length > limit) throw bad("size");
  return new Parser(fromUtf8(bytes)).whole();
}

/**
 * The one spelling: keys ascending, compact, raw UTF-8; `undefined` and `null` members are left out.
 *
 * @param {unknown} value
 */
export function encode(value) {
  return utf8(write(value));
}

/**
 * @param {any} value
 * @param {string} [under]
 * @returns {string}
 */
function write(value, under = "") {
  if (Array.isArray(value)) return `[${value.map((each) => write(each)).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const keys = Object.keys(value).filter((key) => value[key] !== undefined && value[key] !== null);
    keys.sort(byCodePoint);
    return `{${keys.map((key) => `${JSON.stringify(key)}:${write(value[key], key)}`).join(",")}}`;
  }
  if (typeof value === "number" && !Number.isInteger(value) && (under === "lat" || under === "lon")) {
    return value.toFixed(7).replace(/0+$/, "").replace(/\.$/, ".0");
  }
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw bad("number");
  if (typeof value === "string" && !isText(value)) throw bad("text");
  return JSON.stringify(value);
}

/**
 * True for whole surrogate pairs in NFC. `isWellFormed` is newer than the browsers this is built for.
 *
 * @param {string} text
 */
const isText = (text) => !/\p{Surrogate}/u.test(text) && text === text.normalize("NFC");

/**
 * Code points, where JavaScript compares UTF-16 units.
 *
 * @param {string} a
 * @param {string} b
 */
function byCodePoint(a, b) {
  const left = Array.from(a);
  const right = Array.from(b);
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const step = Number(left[i].codePointAt(0)) - Number(right[i].codePointAt(0));
    if (step) return step;
  }
  return left.length - right.length;
}

/** @type {[string, boolean | null][]} */
const WORDS = [
  ["true", true],
  ["false", false],
  ["null", null],
];

class Parser {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  whole() {
    const value = this.value(1, "");
    this.space();
    if (this.at !== this.text.length) throw bad("JSON");
    return value;
  }

  space() {
    while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at++;
  }

  /** @param {string} character */
  take(character) {
    this.space();
    if (this.text[this.at] !== character) throw bad("JSON");
    this.at++;
  }

  peek() {
    this.space();
    return this.text[this.at];
  }

  /**
   * @param {number} depth
   * @param {string} key
   * @returns {any}
   */
  value(depth, key) {
    if (depth > MAX_DEPTH) throw bad("depth");
    const next = this.peek();
    if (next === "{") return this.object(depth);
    if (next === "[") return this.list(depth);
    if (next === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number(key);
  }

  /** @param {number} depth */
  object(depth) {
    const found = Object.create(null);
    this.take("{");
    if (this.peek() === "}") {
      this.at++;
      return found;
    }
    let goesOn = true;
    while (goesOn) {
      if (this.peek() !== '"') throw bad("JSON");
      const key = this.string();
      if (key in found) throw bad("duplicate key");
      this.take(":");
      found[key] = this.value(depth + 1, key);
      goesOn = this.peek() === ",";
      if (goesOn) this.at++;
    }
    this.take("}");
    return found;
  }

  /** @param {number} depth */
  list(depth) {
    /** @type {any[]} */
    const found = [];
    this.take("[");
    if (this.peek() === "]") {
      this.at++;
      return found;
    }
    let goesOn = true;
    while (goesOn) {
      found.push(this.value(depth + 1, ""));
      goesOn = this.peek() === ",";
      if (goesOn) this.at++;
    }
    this.take("]");
    return found;
  }

  string() {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON allows no control characters in a string
    const match = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
    match.lastIndex = this.at;
    const raw = match.exec(this.text)?.[0];
    if (raw === undefined) throw bad("JSON");
    this.at += raw.length;
    const text = JSON.parse(raw);
    if (!isText(text)) throw bad("text");
    return text;
  }

  /** @param {string} key */
  number(key) {
    const match = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
    match.lastIndex = this.at;
    const raw = match.exec(this.text)?.[0];
    if (raw === undefined) throw bad("JSON");
    this.at += raw.length;
    const isCoordinate = key === "lat" || key === "lon";
    if (isCoordinate && /^-?(0|[1-9][0-9]{0,2})\.[0-9]{1,7}$/.test(raw)) return Number(raw);
    if (!/^-?(0|[1-9][0-9]*)$/.test(raw) || raw === "-0" || !Number.isSafeInteger(Number(raw))) throw bad("number");
    return Number(raw);
  }
}

// Every word the page says, from one file a language: ../../texts. The document's `lang` chooses. A key that is missing
// in a language fails `test_both_languages_say_everything` (tests/web/test_the_program.py).
import en from "../../texts/en.json";
import es from "../../texts/es.json";
import { PageError, RefusedError } from "../errors.js";
import { h } from "./dom.js";

/** @type {Record<string, Record<string, string>>} */
const ALL = { en, es };
export const language = () => document.documentElement.lang || "en";
const texts = () => ALL[language()] ?? ALL.en;

/** @typedef {Record<string, unknown> & { n?: number }} Values */

/**
 * The text of `key` with `{name}` replaced; `{n}` also chooses between `key.one` and `key.other`.
 *
 * @param {string} key
 * @param {Values} values
 * @returns {string}
 */
export function t(key, values = {}) {
  const plural = values.n === undefined ? undefined : new Intl.PluralRules(language()).select(values.n);
  const text = texts()[`${key}.${plural}`] ?? texts()[key] ?? texts()[`${key}.other`] ?? ALL.en[key] ?? key;
  return text.replaceAll(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/**
 * The same with `backticks` shown as code: text that the user is to type elsewhere.
 *
 * @param {string} key
 * @param {Values} [values]
 * @returns {(string | HTMLElement)[]}
 */
export const withCode = (key, values) =>
  t(key, values)
    .split("`")
    .map((part, i) => (i % 2 ? h("code", part) : part));

/**
 * The message for an error.
 *
 * @param {unknown} error
 * @returns {string}
 */
export function explain(error) {
  if (!(error instanceof PageError)) return t("error.unexpected", { what: String(error) });
  if (error instanceof RefusedError && error.status === 429)
    return t("error.wait", { n: Number(/\d+/.exec(error.remedy)?.[0] ?? 1) });
  return t(error.text, error.values);
}

/** The person's own date format, in the language of the page. */
const locale = () => navigator.languages.find((each) => each.startsWith(language())) ?? language();

/**
 * Formats a time, in UTC ms, with these parts.
 *
 * @param {Intl.DateTimeFormatOptions} options
 */
const format = (options) => {
  // A formatter takes a millisecond to make, and a timeline needs thousands of times.
  /** @type {Map<string, Intl.DateTimeFormat>} */
  const made = new Map();
  return (/** @type {number | Date} */ value) => {
    const known = made.get(language()) ?? new Intl.DateTimeFormat(locale(), options);
    made.set(language(), known);
    return known.format(value);
  };
};

export const date = format({ weekday: "long", day: "numeric", month: "long" });
export const shortDate = format({ day: "numeric", month: "short", year: "numeric" });
export const month = format({ month: "long", year: "numeric" });
export const weekday = format({ weekday: "short" });
export const clock = format({ hour: "2-digit", minute: "2-digit" });
export const exact = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const dateAndClock = format({
  weekday: "short",
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

/**
 * @param {number} from
 * @param {number} to
 */
export const isOneDay = (from, to) => new Date(from).toDateString() === new Date(to).toDateString();

/**
 * A span of time as people say it.
 *
 * @param {number} from
 * @param {number} to
 */
export function span(from, to) {
  return isOneDay(from, to)
    ? `${date(from)}, ${clock(from)}\u00a0–\u2060\u00a0${clock(to)}`
    : `${dateAndClock(from)} – ${dateAndClock(to)}`;
}

/** @param {number} ms */
export function length(ms) {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 90) return t("length.seconds", { n: seconds });
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? t("length.minutes", { n: minutes }) : t("length.hours", { n: Math.round(minutes / 60) });
}

/**
 * As players write it: minutes and seconds.
 *
 * @param {number} ms
 */
export function minutes(ms) {
  const seconds = Math.max(1, Math.round(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** @param {number} count */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [rest, unit] = [count, 0];
  for (; rest >= 1000 && unit < units.length - 1; unit++) rest /= 1000;
  const maximumFractionDigits = rest < 10 && unit ? 1 : 0;
  return `${new Intl.NumberFormat(language(), { maximumFractionDigits }).format(rest)} ${units[unit]}`;
}

/** @param {number} squareMetres */
export function area(squareMetres) {
  if (squareMetres < 10_000) return `${wholeNumber(squareMetres)} m²`;
  return new Intl.NumberFormat(language(), {
    style: "unit",
    unit: "hectare",
    unitDisplay: "long",
    maximumFractionDigits: 0,
  }).format(squareMetres / 10_000);
}

/** @param {number} value */
export const wholeNumber = (value) => new Intl.NumberFormat(language(), { maximumFractionDigits: 0 }).format(value);

// Every word the page says, from one file a language: ../../texts. The document's `lang` chooses, and the page loads
// that file alone. tests/web/test_texts.py finds a key that a language lacks, and a text that is not translated.
import { PageError, RefusedError } from "../errors.js";
import { h } from "./dom.js";
import { inLanguage, learn } from "./sentences.js";

/** @type {Record<string, string>} */
let texts = {};
export const language = () => document.documentElement.lang || "en";

/**
 * Loads the texts of a language. From then on the page speaks it.
 *
 * @param {string} wanted
 */
export async function speak(wanted) {
  texts = await load("texts", wanted);
  document.documentElement.lang = wanted;
  // Refusals are seldom, so the first page does not wait for their sentences. Until they are here, they are English.
  learn({});
  if (wanted !== "en") load("sentences", wanted).then(learn, () => {});
}

/**
 * @param {string} what
 * @param {string} wanted
 */
async function load(what, wanted) {
  const answer = await fetch(`/static/${what}-${wanted}.json${new URL(import.meta.url).search}`);
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

/**
 * Takes texts that are already here, for a page that is a file and loads nothing.
 *
 * @param {string} language
 * @param {Record<string, string>} own
 */
export function speakWith(language, own) {
  texts = own;
  document.documentElement.lang = language;
}

/** @typedef {Record<string, unknown> & { n?: number }} Values */

/**
 * The text of `key` with `{name}` replaced; `{n}` also chooses among the plural forms of the language: `key.one`,
 * `key.other`, and more in other languages (CLDR).
 *
 * @param {string} key
 * @param {Values} values
 * @returns {string}
 */
export function t(key, values = {}) {
  const plural = values.n === undefined ? undefined : pluralRules().select(values.n);
  const text = texts[`${key}.${plural}`] ?? texts[key] ?? texts[`${key}.other`] ?? key;
  return text.replaceAll(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

export const isRightToLeft = () => document.documentElement.dir === "rtl";

/** The arrows that point to what comes before and after, as the language is read. */
export const arrows = () => (isRightToLeft() ? ["→", "←"] : ["←", "→"]);

/**
 * Several words as one list, with the comma of the language.
 *
 * @param {string[]} words
 */
export const listed = (words) => (words.length ? words.reduceRight((rest, first) => t("list", { first, rest })) : "");

/** @param {unknown} value */
function shown(value) {
  if (typeof value === "number") return wholeNumber(value);
  const words = String(value ?? "");
  // A name in Latin letters inside Arabic, or the other way, would carry the words around it to the wrong side.
  return isRightToLeft() || RIGHT_TO_LEFT.test(words) ? `\u2068${words}\u2069` : words;
}

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;

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
  if (!(error instanceof RefusedError)) return t(error.text, error.values);
  const { said, remedy } = error.values;
  return t(error.text, { said: inLanguage(String(said)) ?? said, remedy: inLanguage(String(remedy)) ?? remedy });
}

/**
 * The person's own formats, in the language of the page. The digits are those of codes and fingerprints in every
 * language, so that all numbers of a page look the same.
 */
export const locale = () => {
  const own = navigator.languages.find((each) => each.split("-")[0] === language()) ?? language();
  return new Intl.Locale(own, { numberingSystem: "latn" });
};

/**
 * Makes a formatter for each language once: it takes a millisecond, and a timeline needs thousands.
 *
 * @template Formatter
 * @param {() => Formatter} make
 */
function perLanguage(make) {
  /** @type {Map<string, Formatter>} */
  const made = new Map();
  return () => {
    const known = made.get(language()) ?? make();
    made.set(language(), known);
    return known;
  };
}

const pluralRules = perLanguage(() => new Intl.PluralRules(language()));
const wholeNumbers = perLanguage(() => new Intl.NumberFormat(locale(), { maximumFractionDigits: 0 }));
const oneDecimal = perLanguage(() => new Intl.NumberFormat(locale(), { maximumFractionDigits: 1 }));
const twoDecimals = perLanguage(
  () => new Intl.NumberFormat(locale(), { minimumFractionDigits: 2, maximumFractionDigits: 2 }),
);
const hectares = perLanguage(
  () =>
    new Intl.NumberFormat(locale(), { style: "unit", unit: "hectare", unitDisplay: "long", maximumFractionDigits: 0 }),
);

/**
 * Formats a time, in UTC ms, with these parts.
 *
 * @param {Intl.DateTimeFormatOptions} options
 */
const format = (options) => {
  const formatter = perLanguage(() => new Intl.DateTimeFormat(locale(), options));
  return (/** @type {number | Date} */ value) => formatter().format(value);
};

export const date = format({ weekday: "long", day: "numeric", month: "long" });
export const shortDate = format({ day: "numeric", month: "short", year: "numeric" });
export const month = format({ month: "long", year: "numeric" });
export const shortMonth = format({ month: "short" });
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
 * The two ends of a span within one day. They have seconds if both are in one minute.
 *
 * @param {number} from
 * @param {number} to
 */
export const clocks = (from, to) => [from, to].map(clock(from) === clock(to) ? exact : clock);

/**
 * A span of time as people say it.
 *
 * @param {number} from
 * @param {number} to
 */
export function span(from, to) {
  return isOneDay(from, to)
    ? t("span.day", { date: date(from), from: clock(from), to: clock(to) })
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

/**
 * Seconds of a film, to the hundredth.
 *
 * @param {number} ms
 */
export const secondsOf = (ms) => twoDecimals().format(ms / 1000);

/** @param {number} count */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [rest, unit] = [count, 0];
  for (; rest >= 1000 && unit < units.length - 1; unit++) rest /= 1000;
  return `${(rest < 10 && unit ? oneDecimal() : wholeNumbers()).format(rest)} ${units[unit]}`;
}

/** @param {number} squareMetres */
export function area(squareMetres) {
  return squareMetres < 10_000 ? `${wholeNumber(squareMetres)} m²` : hectares().format(squareMetres / 10_000);
}

/** @param {number} value */
export const wholeNumber = (value) => wholeNumbers().format(value);

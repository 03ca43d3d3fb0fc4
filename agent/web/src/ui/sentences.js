// Sentences that the doorbell says itself, such as a refusal, in the language of the page: ../../../sentences.

/** @type {Record<string, string>} */
let sentences = {};
/** @type {[RegExp, string][]} */
let patterns = [];

/** @param {string} text */
const literal = (text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

/** @param {Record<string, string>} found English to the page's language; `{}` stands for a value */
export function learn(found) {
  sentences = found;
  patterns = Object.keys(found)
    .filter((english) => english.includes("{}"))
    .map((english) => [new RegExp(`^${english.split("{}").map(literal).join("(.+?)")}$`, "s"), found[english]]);
}

/**
 * The text in the language of the page, or undefined if it has a sentence that the catalogue lacks.
 *
 * @param {string} text
 * @returns {string | undefined}
 */
export function inLanguage(text) {
  if (text === "" || sentences[text] !== undefined) return sentences[text] ?? "";
  for (const [pattern, words] of patterns) {
    const [, ...values] = pattern.exec(text) ?? [];
    if (values.length) return words.replaceAll("{}", () => whole(String(values.shift())));
  }
  for (let end = text.indexOf(". "); end > 0; end = text.indexOf(". ", end + 1)) {
    const [first, rest] = [inLanguage(text.slice(0, end + 1)), inLanguage(text.slice(end + 2).trimStart())];
    if (first !== undefined && rest !== undefined) return `${first} ${rest}`;
  }
  return undefined;
}

/** @param {string} value */
const whole = (value) => inLanguage(value) ?? value;

// Letters of a name that can look like others (agent/wire/lookalikes.py has the rule and its reasons).
const LETTERS = "A-Za-z\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u01BF\\u01C4-\\u024F\\u1E00-\\u1EFF";
const LATIN = `0-9\\u00AA\\u00B2\\u00B3\\u00B5\\u00B9\\u00BA\\u00BC-\\u00BE${LETTERS}`;
const OTHERS = [
  "\\u05D0-\\u05F2\\u0620-\\u06FF\\u0750-\\u077F\\u08A0-\\u08FF",
  "\\u0900-\\u0FFF\\u1000-\\u109F\\u10D0-\\u10FF\\u1200-\\u139F\\u1780-\\u17FF",
  "\\u1100-\\u11FF\\uAC00-\\uD7A3\\u3005-\\u3007\\u3021-\\u3029\\u3031-\\u3035\\u3041-\\u30FF\\u3105-\\u312F",
  "\\u3400-\\u4DBF\\u4E00-\\u9FFF\\u{20000}-\\u{3FFFD}",
].join("");
const WORD = /[\p{L}\p{N}]+/gu;
const LATIN_LETTER = new RegExp(`[${LETTERS}]`, "u");
const USUAL_IN_LATIN = new RegExp(`[${LATIN}]`, "u");
const USUAL = new RegExp(`[${LATIN}${OTHERS}]`, "u");

/**
 * The letters of a name that can look like others, each once, in their order.
 *
 * @param {string} name
 */
export function lookalikes(name) {
  /** @type {Set<string>} */
  const found = new Set();
  for (const word of name.match(WORD) ?? []) {
    const usual = LATIN_LETTER.test(word) ? USUAL_IN_LATIN : USUAL;
    for (const each of word) if (!usual.test(each)) found.add(each);
  }
  return [...found];
}

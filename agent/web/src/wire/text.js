// Text for other people to read: plain words that cannot pretend to be something else (agent/wire/fields.py).
const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
// Marks, letters and symbols that show no glyph.
const UNSEEN =
  "\\u034F\\u115F\\u1160\\u17B4\\u17B5\\u180B-\\u180F\\u2800\\u3164\\uFE00-\\uFE0F\\uFFA0\\u{E0100}-\\u{E01EF}";
const HIDDEN = new RegExp(`[${UNSEEN}]`, "u");
const NOT_KEPT = new RegExp(`[\\p{Cc}\\p{Cf}\\p{Co}\\p{Cs}${UNSEEN}]`, "gu");
const MARKS = /[\p{Mn}\p{Me}]{5}/u;
const [WORD, NO_WORD] = ["[\\p{L}\\p{N}_]", "[^\\p{L}\\p{N}_]"];
// Avoids lookbehind: Safari has it only since 16.4.
const LINK = new RegExp(
  [
    "[a-z][a-z0-9+-]*://",
    `(?:^|${NO_WORD})(?:www\\.|(?:mailto|tel|data|javascript):)`,
    // A domain's name, with any character that a browser takes for the dot.
    `${WORD}[.․﹒。．｡][\\p{L}\\p{Nl}\\p{No}]{2}`,
  ].join("|"),
  "iu",
);
// With case ignored, U+0345 would match the letter iota, so another mark replaces it.
/** @param {string} words */
const looksLikeLink = (words) => LINK.test(words.replaceAll("\u0345", "\u0301"));

/**
 * True if `words` may be sent: clean, and of 1 to `most` characters.
 *
 * @param {string} words
 * @param {number} most
 */
export function isPlain(words, most) {
  const length = [...words].length;
  return (
    length >= 1 &&
    length <= most &&
    words.normalize("NFC") === words &&
    words === words.trim() &&
    !words.includes("  ") &&
    !FORBIDDEN.test(words) &&
    !HIDDEN.test(words) &&
    !MARKS.test(words) &&
    !looksLikeLink(words)
  );
}

/**
 * Repairs everything that can be repaired with the words unchanged. Links stay, and stay a fault.
 *
 * @param {string} text
 */
export const cleaned = (text) =>
  text
    .normalize("NFC")
    .replaceAll(/[\t\n\r\p{Z}]/gu, " ")
    .replaceAll(NOT_KEPT, "")
    .normalize("NFC")
    .replaceAll(/ +/g, " ")
    .trim();

// Text that somebody else will read: plain words that cannot pretend to be something else (agent/wire/text.py).
const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
const MARKS = /[\p{Mn}\p{Me}]{5}/u;
const [WORD, NO_WORD] = ["[\\p{L}\\p{N}_]", "[^\\p{L}\\p{N}_]"];
// No lookbehind: Safari has it only since 16.4.
const LINK = new RegExp(
  `[a-z][a-z0-9+-]*://|(?:^|${NO_WORD})(?:www\\.|(?:mailto|tel|data|javascript):)|${WORD}[.。．｡][\\p{L}]{2}`,
  "iu",
);

/** Whether `words` may be sent: clean, and of 1 to `most` characters. */
export function isPlain(words, most) {
  const length = [...words].length;
  return (
    length >= 1 && length <= most && words.normalize("NFC") === words && words === words.trim() && !words.includes("  ") &&
    !FORBIDDEN.test(words) && !MARKS.test(words) && !LINK.test(words)
  );
}

/** Everything repaired that can be repaired without changing the words; links stay, and stay a fault. */
export const cleaned = (text) =>
  text.normalize("NFC").replaceAll(/[\t\n\r\p{Z}]/gu, " ").replaceAll(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/gu, "").normalize("NFC").replaceAll(/ +/g, " ").trim();

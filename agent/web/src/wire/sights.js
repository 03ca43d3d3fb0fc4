// What a second opinion can name, and what a poster says it saw (agent/core/opinion/sights.py, FORMAT.md).
export const SIGHTS = ["person", "vehicle", "animal", "parcel"];

const REMARK = "doorward seen:";
const LONGEST_REMARK = 256;

/** What a second opinion saw around a poster, as its comment says (FORMAT.md); null when nobody looked. */
export function seenInPoster(image) {
  const length = image[4] * 256 + image[5];
  if (image[2] !== 0xff || image[3] !== 0xfe || !(length >= 2 && length <= LONGEST_REMARK + 2) || image.length < 4 + length) return null;
  const [head, name, ...words] = String.fromCharCode(...image.subarray(6, 4 + length)).split(" ");
  if (`${head} ${name}` !== REMARK || !words.every((word) => SIGHTS.includes(word))) return null;
  return SIGHTS.filter((sight) => words.includes(sight));
}

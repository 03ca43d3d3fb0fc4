// The promises of a request in the owner's language: for how long its requester keeps footage, and who may get it.

import { h } from "../ui/dom.js";
import { t } from "../ui/texts.js";
import { ONWARD } from "../wire/kinds.js";
import { lookalikes } from "../wire/lookalikes.js";

/** @import { Review } from "../types.js" */
/**
 * @typedef {Pick<Review, "requester" | "retentionDays" | "onward" | "language"> & {
 *   kind?: string;
 *   namesake?: boolean;
 *   trustRoot?: string;
 * }} Promised
 */

const DAYS_PER_YEAR = 365;

/** @param {number} days */
export const daysText = (days) =>
  days >= 2 * DAYS_PER_YEAR
    ? t("promise.years", { days, years: Math.round(days / DAYS_PER_YEAR) })
    : t("promise.days", { n: days });

/** @param {Pick<Review, "onward">} review */
const parties = ({ onward }) => ONWARD.filter((kind) => onward.to.includes(kind)).map((kind) => t(`onward.${kind}`));

/**
 * A sentence on the letters of a name that can look like others; empty if there are none.
 *
 * @param {string} name
 */
export function lookalikeText(name) {
  const letters = lookalikes(name).map((each) => `${each} (U+${codeOf(each)})`);
  return letters.length > 0 ? t("promise.lookalikes", { who: name, letters: letters.join(", ") }) : "";
}

/**
 * The same for several names, as paragraphs.
 *
 * @param {string[]} names
 */
export const lookalikeNotes = (names) =>
  names
    .map(lookalikeText)
    .filter((text) => text !== "")
    .map((text) => h("p.problem", text));

/** @param {string} letter */
const codeOf = (letter) => (letter.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");

/**
 * Sentences with the requester's promises, for the place where an owner decides and for what has left.
 *
 * @param {Promised} review
 */
export function promises(review) {
  const passed = parties(review);
  const strange = lookalikeText(review.requester);
  return [
    ...(strange ? [strange] : []),
    ...(review.namesake ? [t("promise.namesake", { who: review.requester, root: review.trustRoot ?? "" })] : []),
    t("promise.keeps", { who: review.requester, days: daysText(review.retentionDays) }),
    passed.length ? t("promise.onward", { parties: passed.join("; ") }) : t("promise.none"),
    // The neighbour has the only key (decision 66), so what the requester keeps or deletes is not what they keep.
    ...(review.kind === "neighbour" ? [t("promise.neighbour")] : []),
  ];
}

/**
 * The promises as facts of the request: `[name, value]` each.
 *
 * @param {Review} review
 * @returns {[string, any][]}
 */
export function promiseFacts(review) {
  const passed = parties(review);
  const { basis } = review.onward;
  return [
    [t("promise.kept"), t("promise.kept.text", { days: daysText(review.retentionDays) })],
    [
      t("promise.passed"),
      [
        passed.length
          ? h(
              "ul.parties",
              passed.map((party) => h("li", party)),
            )
          : t("promise.passed.none"),
        basis !== undefined && h("p.quiet", t("promise.basis"), " ", h("bdi", { lang: review.language }, basis)),
      ],
    ],
  ];
}

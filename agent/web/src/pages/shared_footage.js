// Stills, film and sound that left, by time; deleted ones are marked.
import { call } from "../ui/client.js";
import { h } from "../ui/dom.js";
import { poster } from "../ui/posters.js";
import { dateAndClock, exact, explain, shortDate, t } from "../ui/texts.js";

/** @import { Shared } from "../types.js" */

/**
 * `what`: `{request}` or `{disclosure}`. Null if no owner approved.
 *
 * @param {{ request?: string, disclosure?: string }} what
 * @param {string[]} promised sentences with what its requester promised
 */
export async function left(what, promised = []) {
  try {
    const found = await call("shared", what);
    return found && section(found, promised);
  } catch (error) {
    return h("p.problem", { role: "alert" }, explain(error));
  }
}

/**
 * @param {any} options
 * @param {string[]} promised
 */
function section({ by, second, items, unlisted, begun }, promised) {
  const who = second ? t("left.two", { first: by, second }) : by;
  return h(
    "section.card.left",
    h("h2", t(begun ? "left" : "left.not-yet")),
    h("p", begun ? t("left.begun", { who, date: dateAndClock(begun) }) : t("left.waits", { who })),
    unlisted && h("p.note", t(`left.unlisted.${unlisted}`)),
    items && !items.length && h("p", t("left.none")),
    items?.length > 0 && h("ol.story", items.map(row)),
    promised.map((sentence) => h("p", sentence)),
    items && h("p.quiet", t("left.checked")),
  );
}

/** @param {Shared} options */
function row({ kind, id, start, end, stored }) {
  const at = `${shortDate(start)}, ${exact(start)}`;
  const time = kind === "still" ? at : `${at}\u00a0–\u2060\u00a0${exact(end)}`;
  return h(
    "li",
    h("time", { datetime: new Date(start).toISOString() }, time),
    h(
      "span",
      kind === "still" && stored && poster(id, t("left.still.alt", { date: at })),
      h("span.kind", t(`left.${kind}`)),
      !stored && h("span.quiet", ` · ${t("left.gone")}`),
    ),
  );
}

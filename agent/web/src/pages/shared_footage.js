// Stills, film and sound that left, by time; deleted ones are marked.
import { call } from "../ui/client.js";
import { h } from "../ui/dom.js";
import { poster } from "../ui/posters.js";
import { dateAndClock, exact, explain, shortDate, t } from "../ui/texts.js";
import { promises } from "./promise.js";

/** @import { Shared } from "../types.js" */

/**
 * `what`: `{request}` or `{disclosure}`. Null if no owner approved.
 *
 * @param {{ request?: string, disclosure?: string }} what
 * @param {string} requester its name, for the promises of its request
 */
export async function left(what, requester = "") {
  try {
    const found = await call("shared", what);
    return found && section(found, requester);
  } catch (error) {
    return h("p.problem", { role: "alert" }, explain(error));
  }
}

/**
 * @param {any} options
 * @param {string} requester
 */
function section({ by, second, items, unlisted, begun, promise }, requester) {
  const who = second ? t("left.two", { first: by, second }) : by;
  return h(
    "section.card.left",
    h("h2", t(begun ? "left" : "left.not-yet")),
    h("p", begun ? t("left.begun", { who, date: dateAndClock(begun) }) : t("left.waits", { who })),
    unlisted && h("p.note", t(`left.unlisted.${unlisted}`)),
    items && !items.length && h("p", t("left.none")),
    items?.length > 0 && h("ol.story", items.map(row)),
    promise && promises({ ...promise, requester }).map((sentence) => h("p", sentence)),
    items && h("p.quiet", t("left.checked")),
  );
}

/** @param {Shared} options */
function row({ kind, id, start, end, stored, redacted }) {
  const at = `${shortDate(start)}, ${exact(start)}`;
  const time = kind === "still" ? at : `${at}\u00a0–\u2060\u00a0${exact(end)}`;
  return h(
    "li",
    h("time", { datetime: new Date(start).toISOString() }, time),
    h(
      "span",
      kind === "still" && stored && poster(id, t("left.still.alt", { date: at })),
      h("span.kind", t(`left.${kind}`)),
      redacted && h("span.quiet", ` · ${t("left.redacted")}`),
      !stored && h("span.quiet", ` · ${t("left.gone")}`),
    ),
  );
}

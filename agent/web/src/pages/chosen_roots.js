// The trust roots that the household chose, to take over in a browser that was not there: who chose each, and when.
import { call } from "../ui/client.js";
import { doing } from "../ui/dialogs.js";
import { h } from "../ui/dom.js";
import { shortDate, t } from "../ui/texts.js";

/** @import { FoundRoot } from "../types.js" */

/**
 * The list, and the question. `done` is called after a yes. `later`: what "Not now" does, if it is offered. A disputed
 * root is named with its whole key and stays out of the question.
 *
 * @param {FoundRoot[]} found
 * @param {() => unknown} done
 * @param {() => unknown} [later]
 */
export function chosenRoots(found, done, later) {
  const roots = found.filter((each) => !each.isDisputed);
  const problem = h("p.problem", { role: "alert" });
  const take = h("button.primary", { type: "button" }, t("roots.yes"));
  take.addEventListener("click", async () => {
    const taken = () => call("takeOverRoots", { roots: roots.map((each) => each.key) });
    if (await doing(take, problem, taken)) await done();
  });
  const disputed = found
    .filter((each) => each.isDisputed)
    .map(({ key, by, at }) =>
      h(
        "div",
        { role: "alert" },
        h("p.problem", t("roots.disputed", { name: by, date: shortDate(at) })),
        h("p", h("code", key)),
      ),
    );
  const leave = later && h("button", { type: "button", onclick: later }, t("roots.later"));
  if (!roots.length) return [...disputed, leave && h("div.row.end", leave)];
  return [
    ...disputed,
    h("p", t("roots.text")),
    h(
      "ul.plain",
      roots.map(({ id, by, at, requesters }) =>
        h(
          "li",
          h("p", t("roots.chosen", { name: by, date: shortDate(at) }), " ", h("code", id)),
          h(
            "ul",
            requesters.map((name) => h("li", name)),
          ),
        ),
      ),
    ),
    problem,
    h("div.row.end", leave, take),
  ];
}

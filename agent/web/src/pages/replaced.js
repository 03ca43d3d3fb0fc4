// Another doorbell answers under the name of the one that this browser has keys for. It was replaced or reset, or is a
// stranger's. The page leaves the keys locked and asks the owner what to do with them.
import { go, removeKeys } from "../navigation.js";
import { confirm } from "../ui/dialogs.js";
import { h } from "../ui/dom.js";
import { t } from "../ui/texts.js";
import { saveBackup } from "./settings.js";

/** @import { Answer } from "../types.js" */

/**
 * @param {HTMLElement} content
 * @param {Answer} hello
 */
export function replaced(content, hello) {
  content.append(
    h(
      "div.card.narrow",
      h("h1", t("replaced.title")),
      h("p", { role: "alert" }, t("replaced.text", { doorbell: hello.doorbell })),
      h("p", t("replaced.keys")),
      h(
        "div.row",
        h("button", { type: "button", onclick: saveBackup }, t("replaced.save")),
        h("button", { type: "button", onclick: beginAgain }, t("replaced.begin")),
      ),
    ),
  );
}

async function beginAgain() {
  if (!(await confirm(t("replaced.begin"), t("replaced.begin.text"), t("replaced.begin.yes")))) return;
  await removeKeys();
  await go("/setup");
}

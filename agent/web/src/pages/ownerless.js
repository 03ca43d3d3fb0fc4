// A doorbell with the key that this browser knows says that it has no owner, and it had one. It was set back, or a
// stranger had it. The page explains that and asks for a decision, and does not offer the set-up of a new doorbell.
import { PageError } from "../errors.js";
import { go, removeKeys } from "../navigation.js";
import { call, origin } from "../ui/client.js";
import { confirm, credentialFields, doing } from "../ui/dialogs.js";
import { h } from "../ui/dom.js";
import { passkey } from "../ui/passkey.js";
import { t } from "../ui/texts.js";
import { saveBackup } from "./settings.js";
import { form, kitField } from "./setup.js";

/** @import { Answer } from "../types.js" */

/**
 * @param {HTMLElement} content
 * @param {Answer} hello
 */
export async function ownerless(content, hello) {
  const { name } = await call("state", {});
  const sure = h("input", { type: "checkbox", id: "sure" });
  // The reason is asked for by both ways on. A disabled button would not say what is missing.
  const requireSure = () => {
    if (sure.checked) return;
    sure.focus();
    throw new PageError("ownerless.unsure");
  };
  content.append(
    h(
      "div.narrow",
      h("h1", t("ownerless.title")),
      h("p.lead", { role: "alert" }, t("ownerless.text", { doorbell: hello.doorbell })),
      section("ownerless.why", "ownerless.why.card", "ownerless.why.button", "ownerless.why.stranger"),
      section("ownerless.lost", "ownerless.lost.clips", "ownerless.lost.new", "ownerless.lost.rest"),
      h(
        "div.card",
        h("h2", t("ownerless.decide")),
        h("ul", h("li", t("ownerless.restore")), h("li", t("ownerless.stop"))),
        name && h("div.row", h("button", { type: "button", onclick: saveBackup }, t("replaced.save"))),
        h("label.tick", sure, h("span", t("ownerless.sure"))),
      ),
      name && (await sameKeys(requireSure)),
      newKeys(requireSure),
    ),
  );
}

/** @param {string[]} keys of a heading and its points */
function section(...keys) {
  const [heading, ...points] = keys.map((key) => t(key));
  return h("div.card", h("h2", heading), h("ul", ...points.map((point) => h("li", point))));
}

/** @param {() => void} requireSure */
async function sameKeys(requireSure) {
  const typed = kitField();
  const asking = credentialFields(await passkey());
  // Shown only for a kit that this browser has not seen. It is about one kit, so typing takes it away again.
  const newer = h("input", { type: "checkbox", id: "newer" });
  const asked = h("label.tick", { hidden: true }, newer, h("span", t("ownerless.kit.newer")));
  const ask = (/** @type {boolean} */ wanted) => {
    asked.hidden = !wanted;
    newer.checked = false;
  };
  typed.addEventListener("input", () => ask(false));
  const again = async () => {
    requireSure();
    const credential = await asking.credential();
    const given = { credential, typed: typed.value, origin: origin(), isNewer: newer.checked };
    try {
      await call("claimAgain", given);
    } catch (error) {
      if (error instanceof PageError && error.text === "error.unseen-kit") ask(true);
      throw error;
    }
    await go("/timeline", { replace: true });
  };
  return form(
    t("ownerless.again.button"),
    again,
    h("h2", t("ownerless.again")),
    h("p", t("ownerless.again.text")),
    h("label", { for: "kit" }, t("back.kit.label")),
    typed,
    asked,
    asking.element,
  );
}

/** @param {() => void} requireSure */
function newKeys(requireSure) {
  const problem = h("p.problem", { role: "alert" });
  const button = h("button", { type: "button" }, t("ownerless.new"));
  const begin = async () => {
    requireSure();
    if (!(await confirm(t("ownerless.new"), t("ownerless.new.text"), t("replaced.begin.yes")))) return;
    await removeKeys();
    await go("/setup");
  };
  button.addEventListener("click", () => doing(button, problem, begin));
  return h("details.card", h("summary", t("ownerless.new.summary")), h("p", t("ownerless.new.text")), problem, button);
}

// The trust roots that the doorbell's configuration offers by name, with what each means. None is ticked: the owner
// chooses, and signs the choice.
import { call } from "../ui/client.js";
import { doing, withCredential } from "../ui/dialogs.js";
import { h } from "../ui/dom.js";
import { listed, t } from "../ui/texts.js";
import { lookalikeNotes } from "./promise.js";

/** @import { Credential } from "../types.js" */
/** @typedef {{ name: string, key: string, means: string }} RootOffer */

/**
 * @param {RootOffer[]} offers
 * @param {() => Promise<unknown>} done
 * @param {Credential} [credential] given at the set-up; otherwise the owner is asked for it
 */
export function offeredRoots(offers, done, credential) {
  const problem = h("p.problem", { role: "alert" });
  const button = h("button.primary", { type: "submit", disabled: true }, t("trust.offered.yes"));
  const boxes = offers.map((_, i) =>
    h("input", { type: "checkbox", id: `offered-${i}`, "aria-describedby": `offered-means-${i}`, onchange: update }),
  );
  const ticked = () => offers.filter((_, i) => boxes[i].checked);
  function update() {
    button.disabled = ticked().length === 0;
  }
  /** @param {Event} event */
  const choose = async (event) => {
    event.preventDefault();
    const roots = ticked().map(({ key }) => key);
    /** @param {Credential} given */
    const add = (given) => call("addTrustRoots", { roots, credential: given });
    const names = listed(ticked().map(({ name }) => name));
    const text = [names, t("trust.add.confirm")];
    const hasChosen = credential
      ? await doing(button, problem, () => add(credential))
      : await withCredential(t("trust.offered.yes"), text, t("trust.offered.yes"), add);
    if (hasChosen) await done();
  };
  return h(
    "form.card",
    { onsubmit: choose },
    h("h3", t("trust.offered")),
    h("p", t("trust.offered.text")),
    h(
      "ul.plain",
      offers.map(({ name, key, means }, i) =>
        h(
          "li",
          h("label.tick", boxes[i], h("span", { dir: "auto" }, name)),
          ...lookalikeNotes([name]),
          h("p", { id: `offered-means-${i}`, dir: "auto" }, means),
          h("p.quiet", t("trust.offered.key"), " ", h("code", key)),
        ),
      ),
    ),
    problem,
    h("div.row.end", button),
  );
}

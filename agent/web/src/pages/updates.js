// The update on offer, the end of the last one, and whether security updates are installed without asking.
import { ask, call } from "../ui/client.js";
import { withCredential } from "../ui/dialogs.js";
import { h } from "../ui/dom.js";
import { language, t, withCode } from "../ui/texts.js";

/** @import { Answer, Child } from "../types.js" */

/**
 * @param {(changes: Record<string, unknown>) => Promise<void>} setting
 * @param {() => Promise<unknown>} again
 * @returns {Promise<Child[]>}
 */
export async function updates(setting, again) {
  const { running, looks, automatic, chosen, trouble, offer, outcome, back } = await ask("update");
  const now = [h("h2", t("updates")), h("p", t("updates.running", { version: running }))];
  if (!looks) return [...now, h("p.quiet", t("updates.off"))];
  return [
    ...now,
    outcome && h("p", t(`updates.outcome.${outcome.result.replace(" ", "-")}`, { version: outcome.version })),
    trouble && h("p.problem", t(`updates.trouble.${trouble}`)),
    ...(offer ? ready(offer, chosen, again) : [h("p.quiet", t("updates.none"))]),
    h(
      "p",
      t(automatic ? "updates.security" : "updates.ask"),
      " ",
      h(
        "button.small",
        { type: "button", onclick: () => setting({ updates: automatic ? "ask" : "security" }) },
        t(automatic ? "updates.security.change" : "updates.ask.change"),
      ),
    ),
    ...(back ? wayBack(running, back, again) : []),
  ];
}

/**
 * The version that ran before, for an owner who is not content with this one. The text says what opens again by it.
 *
 * @param {string} running
 * @param {NonNullable<Answer["update"]["back"]>} back
 * @param {() => Promise<unknown>} again
 * @returns {Child[]}
 */
function wayBack(running, { version, change, refused, chosen, ended }, again) {
  if (refused) return [h("p.quiet", withCode(`updates.back.refused.${refused}`, { version }))];
  if (chosen) return [h("p", { role: "status" }, t("updates.back.chosen", { version }))];
  const goBack = async () => {
    const texts = ["pause", "faults", "later"].map((each) => t(`updates.back.${each}`, { version, running }));
    const matter = { version: running, before: version, change };
    const done = await withCredential(t("updates.back", { version }), texts, t("set.yes"), (credential) =>
      call("decide", { kind: "update-reversal", matter, credential }),
    );
    if (done) await again();
  };
  return [
    ended && h("p.problem", t(`updates.back.ended.${ended}`, { version, running })),
    h("p", h("button.small", { type: "button", onclick: goBack }, t("updates.back", { version }))),
  ];
}

/**
 * @param {NonNullable<Answer["update"]["offer"]>} offer
 * @param {boolean} chosen
 * @param {() => Promise<unknown>} again
 * @returns {Child[]}
 */
function ready(offer, chosen, again) {
  const { version, sha256, security, withdrawn, notes = {} } = offer;
  const spoken = notes[language()] ? language() : "en";
  const install = async () => {
    const done = await withCredential(t("updates.install"), t("updates.install.text"), t("set.yes"), (credential) =>
      call("decide", { kind: "update-choice", matter: { version, sha256 }, credential }),
    );
    if (done) await again();
  };
  return [
    h("p", t(security ? "updates.ready.security" : "updates.ready", { version })),
    h("pre.notes", { lang: spoken, dir: "auto" }, notes[spoken] ?? ""),
    chosen
      ? h("p", { role: "status" }, t("updates.chosen"))
      : h("div.row", h("button", { type: "button", onclick: install }, t("updates.install"))),
    !chosen && h("p.quiet", t(withdrawn ? "updates.withdrawn" : "updates.later", { version })),
  ];
}

// Opens this browser's keys with the owner's passphrase, and proves with them that it is an owner's.
import { go } from "../navigation.js";
import { call, origin } from "../ui/client.js";
import { confirm, doing } from "../ui/dialogs.js";
import { h, ICONS, icon } from "../ui/dom.js";
import { t } from "../ui/texts.js";

/** @import { Answer } from "../types.js" */

/**
 * @param {HTMLElement} content
 * @param {Answer} hello
 */
export async function unlock(content, hello) {
  const field = h("input", { type: "password", id: "passphrase", autocomplete: "current-password", required: true });
  const problem = h("p.problem", { role: "alert" });
  const button = h("button.primary.wide", { type: "submit" }, t("unlock"));
  content.append(
    h(
      "form.card.narrow",
      {
        async onsubmit(event) {
          event.preventDefault();
          const isOpen = await doing(button, problem, async () => {
            await call("unlock", { passphrase: field.value, origin: origin() });
            await go(
              location.pathname === "/unlock" || location.pathname === "/setup" ? "/requests" : location.pathname,
              { replace: true },
            );
          });
          if (!isOpen) field.select();
        },
      },
      h("div.seal", icon(...ICONS.lock)),
      h("h1", t("unlock.title", { doorbell: hello.doorbell })),
      h("p.quiet", t("unlock.text")),
      h("label", { for: "passphrase" }, t("passphrase")),
      field,
      problem,
      button,
      h("button.link", { type: "button", onclick: startAgain }, t("unlock.forgotten")),
    ),
  );
  field.focus();
}

async function startAgain() {
  if (!(await confirm(t("unlock.forgotten"), t("unlock.forgotten.text"), t("unlock.forgotten.yes")))) return;
  await call("forget");
  await go("/setup");
}

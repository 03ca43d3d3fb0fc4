// Opens this browser's keys with the owner's passkey or passphrase, and proves with them that it is an owner's.
import { go, removeKeys } from "../navigation.js";
import { call, origin } from "../ui/client.js";
import { confirm, credentialFields, doing } from "../ui/dialogs.js";
import { h, ICONS, icon } from "../ui/dom.js";
import { passkey } from "../ui/passkey.js";
import { clock, t } from "../ui/texts.js";
import { noteUse } from "./alerts.js";

/** @import { Answer } from "../types.js" */

/**
 * @param {HTMLElement} content
 * @param {Answer} hello
 */
export async function unlock(content, hello) {
  const asking = credentialFields(await passkey());
  const problem = h("p.problem", { role: "alert" });
  const button = h("button.primary.wide", { type: "submit" }, t("unlock"));
  const visitor = await visitorSeen();
  content.append(
    h(
      "form.card.narrow",
      {
        async onsubmit(event) {
          event.preventDefault();
          const isOpen = await doing(button, problem, async () => {
            await call("unlock", { credential: await asking.credential(), origin: origin() });
            void noteUse();
            await go(
              location.pathname === "/unlock" || location.pathname === "/setup" ? "/timeline" : location.pathname,
              { replace: true },
            );
          });
          if (!isOpen) asking.again();
        },
      },
      visitor ?? h("div.seal", icon(...ICONS.lock)),
      h("h1", t("unlock.title", { doorbell: hello.doorbell })),
      h("p.quiet", t("unlock.text")),
      asking.element,
      problem,
      button,
      h("button.link", { type: "button", onclick: startAgain }, t("unlock.forgotten")),
    ),
  );
  if (asking.field.isConnected) asking.field.focus();
  else button.focus();
}

/** The picture of an alert that came just now: not every system shows it in the notification. */
async function visitorSeen() {
  const found = await call("newestAlert").catch(() => null);
  if (!found) return undefined;
  const address = URL.createObjectURL(new Blob([found.media], { type: "image/webp" }));
  return h(
    "figure.visitor",
    h("img", { src: address, alt: t("glance.alt"), onload: () => URL.revokeObjectURL(address) }),
    h("figcaption.quiet", t("glance.at", { time: clock(found.at) })),
  );
}

async function startAgain() {
  if (!(await confirm(t("unlock.forgotten"), t("unlock.forgotten.text"), t("unlock.forgotten.yes")))) return;
  await removeKeys();
  await go("/setup");
}

// Lets this browser in with the code that the doorbell printed. A code in the address's fragment comes from an owner's
// QR code. Browsers keep fragments to themselves.
//
// The code is asked for only if the browser trusts the doorbell's certificate. A user who clicks past a warning may be
// talking to a relay in between, which would use the code for itself (docs/decisions/0026-authority-first.md).
import { PageError, RefusedError } from "../errors.js";
import { pair, sealedButtonCode } from "../link.js";
import { isCertificateTrusted } from "../ui/certificate.js";
import { call } from "../ui/client.js";
import { credentialFields } from "../ui/dialogs.js";
import { existing, h } from "../ui/dom.js";
import { handedOver } from "../ui/neighbours.js";
import { passkey } from "../ui/passkey.js";
import { explain, t, withCode } from "../ui/texts.js";
import { backupFields, form, kitField, recoverOwner } from "./setup.js";

/** @import { Credential } from "../types.js" */

export async function pairing() {
  const isTrusted = await isCertificateTrusted();
  existing(".progress").remove();
  existing("#untrusted").hidden = isTrusted;
  existing("form").hidden = !isTrusted;
  if (isTrusted) {
    takeCode();
    existing("form").after(await comingBack());
  } else existing("#look-again").addEventListener("click", () => location.reload());
}

function takeCode() {
  const form = existing("form");
  const field = existing("input", form);
  const problem = existing("[role=alert]", form);
  const household = handedOver() ? location.hash : "";
  const [code, ...invitation] = household ? [] : location.hash.slice(1).split(".");
  if (code) field.value = code;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    const button = existing("button", form);
    button.disabled = true;
    try {
      await pair(field.value);
      const setup = household || (invitation.length === 2 && `#${invitation.join(".")}`);
      location.assign(setup ? `/setup${setup}` : "/timeline");
    } catch (error) {
      problem.replaceChildren(
        ...(error instanceof RefusedError && error.status === 400 ? withCode("pair.wrong") : [explain(error)]),
      );
      button.disabled = false;
      field.select();
    }
  });
}

/**
 * After a long press of the doorbell's button, the keys in this browser, the kit or a backup stand for a printed code.
 * If the browser has keys, they stay: the unlock page asks for them next, and only there an owner can remove them.
 */
async function comingBack() {
  const { name } = await call("state", {}).catch(() => ({ name: null }));
  const typed = kitField();
  const { file, passphrase, fields } = backupFields();
  const withKit = async () => {
    await comeIn({ typed: typed.value });
    if (name) return location.assign("/timeline");
    const place = h("div.page");
    existing("main").replaceChildren(place);
    await recoverOwner(place, await call("hello"), typed.value);
  };
  const withBackup = async () => {
    const text = await /** @type {FileList} */ (file.files)[0].text();
    await comeIn({ text, passphrase: passphrase.value });
    location.assign("/timeline");
  };
  return h(
    "details.card.narrow",
    h("summary", t("pair.back")),
    h("p", t("pair.back.text")),
    h("p.quiet", t("pair.back.stranger")),
    name && (await ownKeys(name)),
    h(
      "details",
      h("summary", t("back.kit")),
      form(t("pair.button"), withKit, h("label", { for: "kit" }, t("back.kit.label")), typed),
    ),
    h(
      "details",
      h("summary", t("back.backup")),
      form(t("pair.button"), withBackup, ...fields, name && h("p.help", t("pair.back.stay", { name }))),
    ),
  );
}

/** @param {string} name of the owner with the keys in this browser */
async function ownKeys(name) {
  const asking = credentialFields(await passkey());
  const withOwn = async () => {
    await comeIn({ credential: await asking.credential() });
    location.assign("/timeline");
  };
  return h("details", h("summary", t("pair.back.here", { name })), form(t("pair.button"), withOwn, asking.element));
}

/** @param {{ typed?: string, credential?: Credential, text?: string, passphrase?: string }} means */
async function comeIn(means) {
  const sealed = await sealedButtonCode();
  if (!sealed) throw new PageError("pair.back.closed");
  await pair(await call("openButtonCode", { sealed, ...means }));
}

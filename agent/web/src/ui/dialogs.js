// Asks before something counts: for the owner's passkey or passphrase, or a plain yes.
import { isUnsure } from "../errors.js";
import { h } from "./dom.js";
import { askPasskey, passkey } from "./passkey.js";
import { explain, t } from "./texts.js";

/** @import { Child, Credential } from "../types.js" */

const SAID_MS = 6000;

/** @type {Map<HTMLDialogElement, (value?: undefined) => void>} */
const open = new Map();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * Shows a dialog with `content(close)`. The promise has the value that `close` was given, undefined if it was
 * dismissed. A busy dialog cannot be dismissed, because its action would still complete.
 *
 * @template T
 * @param {string} title
 * @param {(close: (value?: T) => void) => Child} content
 * @returns {Promise<T | undefined>}
 */
export function dialog(title, content) {
  return new Promise((resolve) => {
    const id = `dialog-${crypto.randomUUID()}`;
    /** @param {T} [value] */
    const close = (value) => {
      open.delete(shown);
      shown.close();
      shown.remove();
      resolve(value);
    };
    const shown = h("dialog.dialog", { "aria-labelledby": id }, h("h2", { id }, title), content(close));
    shown.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (!isBusy(shown)) close(undefined);
    });
    // Browsers heed a second Escape whatever the page says.
    shown.addEventListener("close", () => {
      if (!open.has(shown)) return;
      if (isBusy(shown)) shown.showModal();
      else close(undefined);
    });
    document.body.append(shown);
    open.set(shown, close);
    shown.showModal();
  });
}

/** @param {HTMLElement} shown */
const isBusy = (shown) => shown.getAttribute("aria-busy") === "true";

/** Closes the dialogs of a page that the user leaves. A running action completes. */
export function dismissAll() {
  for (const [shown, close] of [...open]) if (!isBusy(shown)) close(undefined);
}

/**
 * Asks for the passkey or the passphrase and does `action` with it; the owner may try again.  The promise has what the
 * action gave, undefined if the owner cancelled. If a signature may count already, the dialog takes no second one.
 *
 * @template T
 * @param {string} title
 * @param {Child} text
 * @param {string} confirm
 * @param {(credential: Credential) => Promise<T>} action
 * @returns {Promise<T | true | undefined>}
 */
export async function withCredential(title, text, confirm, action) {
  const own = await passkey();
  return dialog(title, (close) => {
    const asking = credentialFields(own);
    const problem = h("p.problem", { role: "alert" });
    const button = h("button.primary", { type: "submit" }, confirm);
    const cancel = h("button", { type: "button", onclick: () => close(undefined) }, t("cancel"));
    const once = async () => {
      try {
        close((await action(await asking.credential())) ?? true);
      } catch (error) {
        if (isUnsure(error)) {
          for (const each of [asking.element, button]) each.remove();
          cancel.textContent = t("close");
        }
        throw error;
      }
    };
    /** @param {boolean} is */
    const busy = (is) => {
      form.closest("dialog")?.setAttribute("aria-busy", String(is));
      cancel.disabled = is;
    };
    const form = h(
      "form",
      {
        async onsubmit(event) {
          event.preventDefault();
          busy(true);
          if (await doing(button, problem, once)) return;
          busy(false);
          if (asking.element.isConnected) asking.again();
          else cancel.focus();
        },
      },
      text && [text].flat().map((line) => (line instanceof Node ? line : h("p", line))),
      asking.element,
      problem,
      h("div.row.end", cancel, button),
    );
    return form;
  });
}

/**
 * The fields that a form asks for an owner's credential with: nothing to type if there is a passkey, and the passphrase
 * one tap away.
 *
 * @param {{ id: string, salt: string } | null} own
 */
export function credentialFields(own) {
  const field = h("input", { type: "password", autocomplete: "current-password", required: true, id: "passphrase" });
  const typed = h("div", h("label", { for: "passphrase" }, t("passphrase")), field);
  const element = h("div");
  let isTyped = own === null;
  const type = () => {
    isTyped = true;
    element.replaceChildren(typed);
    field.focus();
  };
  if (own)
    element.append(
      h("p.quiet", t("passkey.ask")),
      h("button.link", { type: "button", onclick: type }, t("passkey.type-instead")),
    );
  else element.append(typed);
  return {
    element,
    field,
    /** @returns {Promise<Credential>} */
    credential: async () => (own && !isTyped ? askPasskey(own) : field.value),
    again: () => isTyped && field.select(),
  };
}

/**
 * Does `action` while `button` waits for it.  False when it failed; `problem` then says why.
 *
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} problem
 * @param {() => Promise<unknown>} action
 */
export async function doing(button, problem, action) {
  problem.textContent = "";
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    await action();
    return true;
  } catch (error) {
    problem.textContent = explain(error);
    return false;
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

/**
 * @param {string} title
 * @param {string} text
 * @param {string} yes
 * @returns {Promise<boolean | undefined>}
 */
export function confirm(title, text, yes) {
  return dialog(title, (close) => [
    h("p", text),
    h(
      "div.row.end",
      h("button", { type: "button", onclick: () => close(undefined) }, t("cancel")),
      h("button.primary", { type: "button", onclick: () => close(true) }, yes),
    ),
  ]);
}

/**
 * A short message at the foot of the page, read out, which disappears after a while.
 *
 * @param {string} text
 */
export function say(text) {
  const place = /** @type {HTMLElement} */ (document.querySelector("#said"));
  place.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => {
    place.textContent = "";
  }, SAID_MS);
}

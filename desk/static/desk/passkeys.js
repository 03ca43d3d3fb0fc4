// Passkeys: a form with data-passkey asks the browser for a credential before it is sent.
//   add    makes one, with the options in #passkey-options
//   get    uses one, with the options in #passkey-options
//   login  uses one, with options from the address in data-options

/** @typedef {{ publicKey: { authenticatorSelection?: AuthenticatorSelectionCriteria } }} CreationOptions */

(() => {
  /** @type {{ create: (options: CreationOptions) => Promise<unknown>, get: (options: unknown) => Promise<unknown> }} */
  const { create, get } = /** @type {any} */ (window).webauthnJSON;

  /** @param {HTMLFormElement} form */
  async function credentialFor(form) {
    if (form.dataset.passkey === "login") {
      const answer = await fetch(form.dataset.options ?? "", { headers: { Accept: "application/json" } });
      return get((await answer.json()).request_options);
    }
    const options = JSON.parse(document.getElementById("passkey-options")?.textContent ?? "null");
    if (form.dataset.passkey === "get") return get(options.request_options);
    // The desk's passkeys sign in alone: the device keeps the account with the key, and checks its user.
    options.creation_options.publicKey.authenticatorSelection = {
      residentKey: "required",
      requireResidentKey: true,
      userVerification: "required",
    };
    return create(options.creation_options);
  }

  /**
   * Fills in the credential and sends the form, or shows the form's problem.
   *
   * @param {HTMLFormElement} form
   */
  async function send(form) {
    try {
      const field = /** @type {HTMLInputElement} */ (form.elements.namedItem("credential"));
      field.value = JSON.stringify(await credentialFor(form));
    } catch (error) {
      console.log(error);
      const problem = form.querySelector(".problem");
      if (problem instanceof HTMLElement) problem.hidden = false;
      return;
    }
    // This fires no "submit", so the listener below does not begin again.
    form.submit();
  }

  /** @type {NodeListOf<HTMLFormElement>} */
  const forms = document.querySelectorAll("form[data-passkey]");
  for (const form of forms) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void send(form);
    });
  }
})();

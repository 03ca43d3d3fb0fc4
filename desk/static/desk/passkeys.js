// Passkeys: a form with data-passkey asks the browser for a credential before it is sent.
//   add    makes one, with the options in #passkey-options
//   get    uses one, with the options in #passkey-options
//   login  uses one, with options from the address in data-options

(() => {
  const { create, get } = window.webauthnJSON;

  async function credentialFor(form) {
    if (form.dataset.passkey === "login") {
      const answer = await fetch(form.dataset.options, { headers: { Accept: "application/json" } });
      return get((await answer.json()).request_options);
    }
    const options = JSON.parse(document.getElementById("passkey-options").textContent);
    if (form.dataset.passkey === "get") return get(options.request_options);
    // The desk's passkeys sign in alone: the device keeps the account with the key, and checks its user.
    options.creation_options.publicKey.authenticatorSelection = {
      residentKey: "required",
      requireResidentKey: true,
      userVerification: "required",
    };
    return create(options.creation_options);
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const problem = form.querySelector(".problem[hidden], .problem:not([hidden])");
      try {
        form.elements.credential.value = JSON.stringify(await credentialFor(form));
      } catch (error) {
        console.warn(error);
        problem.hidden = false;
        return;
      }
      form.submit();
    });
  }
})();

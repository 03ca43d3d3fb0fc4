// Lets this browser in with the code that the doorbell printed. A code in the address's fragment comes from an owner's
// QR code. Browsers keep fragments to themselves.
//
// The code is asked for only if the browser trusts the doorbell's certificate. A user who clicks past a warning may be
// talking to a relay in between, which would use the code for itself (docs/decisions/0026-authority-first.md).
import { RefusedError } from "../errors.js";
import { pair } from "../link.js";
import { isCertificateTrusted } from "../ui/certificate.js";
import { existing } from "../ui/dom.js";
import { handedOver } from "../ui/neighbours.js";
import { explain, withCode } from "../ui/texts.js";

export async function pairing() {
  const isTrusted = await isCertificateTrusted();
  existing("#untrusted").hidden = isTrusted;
  existing("form").hidden = !isTrusted;
  if (isTrusted) takeCode();
  else existing("#look-again").addEventListener("click", () => location.reload());
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

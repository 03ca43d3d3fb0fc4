// Lets this browser in with the code that the doorbell printed.  A code in the address's fragment comes from an owner's
// QR code; fragments are never sent anywhere.
import { pair } from "../link.js";
import { explain, withCode } from "../ui/texts.js";

export function pairing() {
  const form = document.querySelector("form");
  const field = form.querySelector("input");
  const problem = form.querySelector("[role=alert]");
  const [code, ...invitation] = location.hash.slice(1).split(".");
  if (code) field.value = code;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await pair(field.value);
      location.assign(invitation.length === 2 ? `/setup#${invitation.join(".")}` : "/requests");
    } catch (error) {
      problem.replaceChildren(...(error.status === 400 ? withCode("pair.wrong") : [explain(error)]));
      button.disabled = false;
      field.select();
    }
  });
}

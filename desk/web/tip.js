// Seals a tip in the browser and sends it. The desk gets bytes of one size; the words stay here and in the seal.

// The owner's page seals with the same code, and the same vectors test it.
import { sealTo } from "../../agent/web/src/wire/age.js";
import { base64, concat, hex, utf8 } from "../../agent/web/src/wire/bytes.js";
import { encode } from "../../agent/web/src/wire/strictjson.js";
import { cleaned, isPlain } from "../../agent/web/src/wire/text.js";
import { sendWorked, show } from "./working.js";

const form = /** @type {HTMLFormElement} */ (document.getElementById("tip"));
const words = /** @type {HTMLTextAreaElement} */ (document.getElementById("words"));
const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
const texts = /** @type {HTMLElement} */ (document.getElementById("texts")).dataset;

/**
 * The sealed part 0 of a tip with words only (PROTOCOL.md, "Tip"). Spaces behind the JSON give every tip one size.
 *
 * @param {string} tip
 * @param {string} text
 */
async function sealTip(tip, text) {
  const { recipient = "", root = "", padded = "" } = form.dataset;
  const message = await sealTo(encode({ v: 1, text }), recipient);
  const manifest = encode({ v: 1, tip, trust_root: root, message: base64(message) });
  const plain = utf8(" ".repeat(Number(padded)));
  // Throws if the manifest is longer, so a tip never shows its length.
  plain.set(manifest);
  return sealTo(plain, recipient);
}

/**
 * @param {string} tip
 * @param {string} text
 */
async function sendTip(tip, text) {
  const body = new Uint8Array(await sealTip(tip, text));
  const address = (form.dataset.send ?? "").replace(/0$/, tip);
  // The work names the id, so that it sends no second tip with the same words.
  const token = { from: form.dataset.token ?? "", prefix: "Tip", worked: concat(utf8(tip), body) };
  const answer = await sendWorked(address, body, token);
  if (!answer.ok) throw new Error(answer.status === 429 ? await answer.text() : texts.failed);
}

let tip = hex(crypto.getRandomValues(new Uint8Array(16))); // kept for a second try, which is then the same tip

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  show("problem", "");
  const text = cleaned(words.value);
  if (!isPlain(text, Number(form.dataset.most))) {
    show("problem", texts.plain);
    words.focus();
    return;
  }
  button.disabled = true;
  show("state", texts.working);
  try {
    await sendTip(tip, text);
    tip = "";
    form.reset(); // a later person at this browser reads nothing
    form.hidden = true;
    const sent = /** @type {HTMLElement} */ (document.getElementById("sent"));
    sent.hidden = false;
    sent.focus();
  } catch (error) {
    console.log(error);
    show("problem", error instanceof Error && error.message ? error.message : texts.failed);
    button.disabled = false;
  }
  show("state", "");
});
words.addEventListener("input", () => {
  tip = hex(crypto.getRandomValues(new Uint8Array(16))); // other words are another tip
});
button.disabled = false;

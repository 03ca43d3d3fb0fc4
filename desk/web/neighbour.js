// The forms of neighbours: a request, a notice, a report. Each is sent with a proof of work and without a cookie.

import { sha256hex, utf8 } from "../../agent/web/src/wire/bytes.js";
import { cleaned, isPlain } from "../../agent/web/src/wire/text.js";
import { fragmentOf, makeKey, recipientOf } from "./neighbour_key.js";
import { coarse, parsePosition } from "./positions.js";
import { sendWorked, show } from "./working.js";

const texts = /** @type {HTMLElement} */ (document.getElementById("texts")).dataset;

/** @param {string} id */
const value = (id) => {
  const field = document.getElementById(id);
  const isField =
    field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement || field instanceof HTMLSelectElement;
  return isField ? field.value : "";
};

/** An error with words for the reader. */
class Said extends Error {}

/**
 * @param {HTMLFormElement} form
 * @param {Uint8Array<ArrayBuffer>} body
 */
async function send(form, body) {
  const token = { from: form.dataset.token ?? "", prefix: "Work" };
  const answer = await sendWorked(form.dataset.send ?? "", body, token);
  if (!answer.ok) throw new Said([400, 429].includes(answer.status) ? await answer.text() : (texts.failed ?? ""));
}

/**
 * @param {string} id
 * @param {number} most
 */
function plain(id, most) {
  const words = cleaned(value(id));
  if (!isPlain(words, most)) {
    document.getElementById(id)?.focus();
    throw new Said(texts.plain);
  }
  return words;
}

/** The place and words that both forms have. The desk hears the coarse place only. */
function common() {
  const found = parsePosition(value("centre"));
  if (!found) {
    document.getElementById("centre")?.focus();
    throw new Said(texts.place);
  }
  const [lon, lat] = coarse(found);
  return {
    description: plain("description", 500),
    language: value("language"),
    lat,
    lon,
    radius_m: Number(value("radius")),
  };
}

/** @param {string} id of a field with a local date and time */
const seconds = (id) => Math.floor(new Date(value(id)).getTime() / 1000) || 0;

/** @param {HTMLFormElement} form */
async function submit(form) {
  const key = await makeKey();
  const written = { ...common(), kind: form.dataset.kind, token_sha256: await sha256hex(utf8(key.token)) };
  const more =
    form.dataset.kind === "notice"
      ? { title: plain("title", 100) }
      : {
          incident: value("incident"),
          from_s: seconds("from"),
          to_s: seconds("to"),
          reply: await recipientOf(key),
        };
  await send(form, utf8(JSON.stringify({ ...written, ...more })));
  form.reset(); // a later person at this browser reads nothing
  location.assign(`${form.dataset.mine}#${fragmentOf(key)}`);
}

/** @param {HTMLFormElement} form */
async function report(form) {
  // The work names the notice, so that it reports no other.
  await send(form, utf8(JSON.stringify({ notice: form.dataset.notice, reason: plain("reason", 500) })));
  form.hidden = true;
  const sent = /** @type {HTMLElement} */ (document.getElementById("sent"));
  sent.hidden = false;
  sent.focus();
}

/**
 * @param {HTMLFormElement} form
 * @param {(form: HTMLFormElement) => Promise<void>} act
 */
function begin(form, act) {
  const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
  form.noValidate = true;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    show("problem", "");
    button.disabled = true;
    show("state", texts.working);
    try {
      await act(form);
    } catch (error) {
      if (!(error instanceof Said)) console.log(error);
      show("problem", error instanceof Said && error.message ? error.message : texts.failed);
      button.disabled = false;
    }
    show("state", "");
  });
  button.disabled = false;
}

for (const [id, act] of /** @type {const} */ ([
  ["submission", submit],
  ["report", report],
])) {
  const form = document.getElementById(id);
  if (form instanceof HTMLFormElement) begin(form, act);
}

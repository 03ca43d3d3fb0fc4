// The set-up page: one file that works offline, from a memory card, a phone's storage or any web server. It makes the
// QR code that a new doorbell's camera reads, finds the doorbell in the network, checks its authority with the secret
// of the code, and leads to the doorbell's page (docs/install.md). It asks only the doorbell.

import { qr } from "./pages/kit.js";
import { freshSecret, fromHex, hex, isProven, pairingCode, textOf } from "./set_up/code.js";
import { SYSTEMS, systemOf } from "./set_up/systems.js";
import { h } from "./ui/dom.js";
import { explain, speakWith, t, withCode } from "./ui/texts.js";

/** @typedef {{ authority: string, proof: string, url: string, install: string, fingerprint: string }} Told */

const PORT = /^#port=(\d{1,5})$/.exec(location.hash)?.[1] ?? "8443";
const LOOK_MS = 2000;
/** A doorbell that is not found after this time had a problem, or this phone cannot find its name. */
const SLOW_MS = 60_000;
const main = h("main", { id: "content" });
/**
 * Where a code is kept for its quarter of an hour, without network and password: some systems trust a new authority
 * only after the browser was restarted.
 */
const KEPT = "doorward-set-up";
const KEPT_MS = 15 * 60_000;
/** The fields as they were typed, for a second try. */
const typed = { ssid: "", password: "", name: "front-door", country: regionOf(navigator.language) };
/** The doorbell's private and quiet hours are by its local time, and it has no other way to know where it is. */
const { timeZone: zone } = Intl.DateTimeFormat().resolvedOptions();

function askForNetwork() {
  const ssid = field("ssid", { value: typed.ssid, maxlength: "32" });
  const password = field("password", { value: typed.password, maxlength: "63" });
  const name = field("doorbell-name", { value: typed.name, maxlength: "32", required: true });
  const country = field("country", { value: typed.country, maxlength: "2", pattern: "[A-Z]{2}", size: "3" });
  const problem = h("p.problem", { role: "alert" });
  /** @param {Event} event */
  const make = (event) => {
    event.preventDefault();
    Object.assign(typed, { ssid: ssid.value, password: password.value, name: name.value, country: country.value });
    const secret = freshSecret();
    try {
      showCode(secret, textOf({ secret, ...typed, zone }));
      keep(secret);
    } catch (error) {
      problem.textContent = explain(error);
    }
  };
  step(
    1,
    h("p.lead", t("show.lead")),
    h(
      "form.card",
      { onsubmit: make },
      labelled("show.ssid", ssid),
      h("p.help", t("show.ssid.help")),
      labelled("show.password", password),
      labelled("show.name", name),
      h("p.help", t("show.name.help")),
      labelled("show.country", country),
      h("p.help", t("show.country.help")),
      problem,
      h("div.row.end", h("button.primary", { type: "submit" }, t("show.make"))),
    ),
    h("p.quiet", t("show.private")),
  );
}

/** @param {Uint8Array} secret */
function keep(secret) {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ secret: hex(secret), name: typed.name, until: Date.now() + KEPT_MS }));
  } catch {
    // A browser that keeps nothing for files: the code has to be shown again after a restart.
  }
}

/** Goes on with a code that this browser showed a few minutes ago. */
function resume() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null");
    if (!kept || typeof kept.name !== "string" || !(Date.now() < kept.until && kept.until <= Date.now() + KEPT_MS))
      return false;
    typed.name = kept.name;
    showCode(fromHex(kept.secret), "");
    return true;
  } catch {
    return false;
  }
}

function forget() {
  try {
    localStorage.removeItem(KEPT);
  } catch {
    // It was never kept.
  }
}

/**
 * Shows the code and looks for the doorbell that has read it. Without `text`, the code was shown before.
 *
 * @param {Uint8Array} secret
 * @param {string} text
 */
function showCode(secret, text) {
  const address = field("address", { placeholder: `192.168.1.20:${PORT}` });
  const slow = h("div.card", { hidden: true }, h("p", t("show.slow")), labelled("show.address", address));
  const other = h("p.problem", { role: "alert" });
  const again = h("button", { type: "button" }, t("show.again"));
  const looking = new AbortController();
  again.addEventListener("click", () => {
    looking.abort();
    forget();
    askForNetwork();
  });
  step(
    2,
    h("p.lead", t(text ? "show.hold" : "show.resumed")),
    text ? h("div.shown-code", qr(text, t("show.code"))) : null,
    h("p", { role: "status" }, t("show.looking")),
    lights(),
    text ? forCard(text) : null,
    slow,
    other,
    h("div.row", again),
  );
  setTimeout(() => {
    slow.hidden = false;
  }, SLOW_MS);
  const hosts = () => [`${typed.name}.local:${PORT}`, ...(address.value.trim() ? [address.value.trim()] : [])];
  void look(hosts, looking.signal, (told) => {
    if (isProven(secret, fromHex(told.authority), told.proof)) {
      looking.abort();
      trust(told, secret);
    } else other.textContent = t("show.other");
  });
}

/**
 * The code as a file for the memory card: without a camera, for a new router, or after a lost phone.
 *
 * @param {string} text
 */
const forCard = (text) =>
  h(
    "details",
    h("summary", t("show.card")),
    h("p", t("show.card.text")),
    h(
      "p",
      h("a.button", { href: URL.createObjectURL(new Blob([text])), download: "doorward.setup" }, t("show.card.save")),
    ),
  );

const lights = () =>
  h(
    "details",
    h("summary", t("show.lights")),
    h(
      "ul",
      ["waiting", "joining", "joined", "password", "network", "address", "failed"].map((each) =>
        h("li", t(`show.light.${each}`)),
      ),
    ),
  );

/**
 * Asks these hosts in turn until `signal`. The answer may come from any device: `found` checks it.
 *
 * @param {() => string[]} hosts
 * @param {AbortSignal} signal
 * @param {(told: Told) => void} found
 */
async function look(hosts, signal, found) {
  while (!signal.aborted) {
    for (const host of hosts()) {
      const told = await ask(`http://${host}/set-up/doorbell`);
      if (told && !signal.aborted) found(told);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/**
 * @param {string} address
 * @returns {Promise<Told | null>}
 */
async function ask(address) {
  try {
    const answer = await fetch(address, { credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(5000) });
    const told = answer.ok ? await answer.json() : null;
    return told && ["authority", "proof", "url", "fingerprint"].every((key) => typeof told[key] === "string")
      ? told
      : null;
  } catch {
    return null;
  }
}

/**
 * The doorbell has been found and has proven itself. Now this phone has to trust it.
 *
 * @param {Told} told
 * @param {Uint8Array} secret
 */
function trust(told, secret) {
  const file = new Blob([fromHex(told.authority)], { type: "application/x-x509-ca-cert" });
  const problem = h("p.problem", { role: "alert" });
  const place = h("div");
  const page = new URL(told.url);
  const check = h("button.primary", { type: "button" }, t("show.check"));
  check.addEventListener("click", async () => {
    check.disabled = true;
    problem.textContent = "";
    // Over HTTPS the browser answers only if it trusts the authority. The path is the only one for other pages.
    const trusted = await ask(new URL("/set-up/doorbell", page).href);
    check.disabled = false;
    if (trusted) place.replaceChildren(open(page, secret));
    else problem.textContent = t("show.unchecked");
  });
  const own = systemOf(navigator.userAgent, navigator.maxTouchPoints);
  step(
    3,
    h("p.lead", t("show.found", { name: page.hostname })),
    h(
      "div.card",
      h("p", t("show.proven")),
      h(
        "p",
        h(
          "a.button.primary",
          { href: URL.createObjectURL(file), download: "doorward-authority.crt" },
          t("install.get"),
        ),
      ),
      h("ol", stepsOf(own)),
      h(
        "details",
        h("summary", t("show.elsewhere")),
        Object.keys(SYSTEMS)
          .filter((each) => each !== own)
          .map((each) => [h("h3", t(`install.${each}`)), h("ol", stepsOf(each))]),
      ),
      h("details", h("summary", t("show.fingerprint")), h("p.fingerprint", told.fingerprint)),
      problem,
      h("div.row.end", check),
    ),
    place,
  );
}

/**
 * @param {URL} page
 * @param {Uint8Array} secret
 */
const open = (page, secret) =>
  h(
    "div.card",
    h("p", t("show.trusted")),
    h(
      "p",
      h("a.button.primary", { href: `${page.origin}/pair#${pairingCode(secret)}`, onclick: forget }, t("show.open")),
    ),
  );

/** @param {string} name */
const stepsOf = (name) =>
  Array.from({ length: SYSTEMS[/** @type {keyof typeof SYSTEMS} */ (name)] }, (_, i) =>
    h("li", withCode(`install.${name}.${i + 1}`)),
  );

/** @param {string} language */
function regionOf(language) {
  try {
    return new Intl.Locale(language).maximize().region ?? "";
  } catch {
    return "";
  }
}

/**
 * @param {number} number
 * @param {import("./types.js").Child[]} children
 */
function step(number, ...children) {
  const steps = ["show.step.1", "show.step.2", "show.step.3"];
  main.replaceChildren(
    h(
      "div.page.narrow",
      h("h1", { tabindex: "-1" }, t(steps[number - 1])),
      h(
        "ol.steps",
        steps.map((text, i) => h("li", { "aria-current": i === number - 1 ? "step" : undefined }, t(text))),
      ),
      ...children,
    ),
  );
  window.scrollTo(0, 0);
}

/**
 * @param {string} id
 * @param {Record<string, unknown>} options
 */
const field = (id, options) =>
  h("input", { id, autocomplete: "off", autocapitalize: "none", spellcheck: false, ...options });

/**
 * @param {string} text
 * @param {HTMLInputElement} input
 */
const labelled = (text, input) => [h("label", { for: input.id }, t(text)), input];

const language = navigator.languages.map((each) => each.slice(0, 2)).find((each) => each in SET_UP_TEXTS) ?? "en";
speakWith(language, SET_UP_TEXTS[language]);
document.documentElement.dir = ["ar", "fa", "he", "ur"].includes(language) ? "rtl" : "ltr";
document.title = t("show.title");
document.body.append(h("header.top", h("p.brand", t("show.title"))), main);
// The words for an old browser stand there until a program runs that has what it needs.
if ("timeout" in AbortSignal) {
  document.getElementById("too-old")?.remove();
  if (!resume()) askForNetwork();
}

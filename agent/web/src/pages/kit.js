// The recovery kit as a page to print, and QR codes.
import qrcode from "qrcode-generator";
import { nameOfKit } from "../kit_name.js";
import { h, svg } from "../ui/dom.js";
import { shortDate, t, withCode } from "../ui/texts.js";

/** The set-up asks for this many characters from the end of the kit, to see that it was written down. */
export const TAIL = 6;

/**
 * The page to print.  It holds the key as text and as a QR code, and says how to use it.
 *
 * @param {string} doorbell
 * @param {string} name
 * @param {string} recovery
 * @param {string} recipient
 * @param {string} fingerprint of the doorbell's authority: a new phone compares it
 */
export function kitPage(doorbell, name, recovery, recipient, fingerprint) {
  return h(
    "section.kit",
    { "aria-label": t("kit.title") },
    h("h3", t("kit.title")),
    h("p.quiet", `${doorbell} · ${name} · ${shortDate(Date.now())}`),
    h(
      "div.kit-body",
      qr(recovery, t("kit.qr")),
      h(
        "p.secret",
        (recovery.match(/.{1,11}/g) ?? []).map((part) => h("span", part)),
      ),
    ),
    h("p", t("kit.text")),
    h(
      "ol",
      ["1", "2", "3"].map((n) => h("li", withCode(`kit.${n}`, { address: `http://${location.host}/install` }))),
    ),
    fingerprint && h("p.quiet", t("kit.fingerprint"), " ", h("code", fingerprint)),
    h("p.quiet", t("kit.age"), " ", h("code", "age -d -i KEY segment.age > segment.mp4")),
    h("p.quiet", h("span.kit-name", nameOfKit(recipient))),
  );
}

/**
 * Draws `text` as a QR code, an SVG image named `label`.
 *
 * @param {string} text
 * @param {string} label
 */
export function qr(text, label) {
  const code = qrcode(0, "M");
  // The alphanumeric mode makes a smaller code, but it holds these characters only.
  code.addData(text, /^[0-9A-Z $%*+\-./:]*$/.test(text) ? "Alphanumeric" : "Byte");
  code.make();
  const size = code.getModuleCount();
  let d = "";
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) if (code.isDark(y, x)) d += `M${x + 4} ${y + 4}h1v1h-1z`;
  }
  const edge = String(size + 8);
  return svg(
    "svg",
    { viewBox: `0 0 ${edge} ${edge}`, class: "qr", role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: edge, height: edge, fill: "#fff" }),
    svg("path", { d, fill: "#000" }),
  );
}

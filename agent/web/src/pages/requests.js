// Footage requests, one calm card each: those that wait for an answer, and what became of the others.
import { call } from "../ui/client.js";
import { h } from "../ui/dom.js";
import { dateAndClock, shortDate, span, t } from "../ui/texts.js";
import { requesterName, WAITING } from "./respond.js";

/** @import { Answer } from "../types.js" */

const REFRESH_MS = 10_000;
/** An owner ended it, or the doorbell did after the requester lost its trust. The request's own page tells which. */
const EITHER = ["denied", "revoked", "stopped"];

/** @param {HTMLElement} content */
export async function requests(content) {
  content.append(h("h1", t("requests.title")));
  const place = h("div");
  const news = h("div");
  content.append(
    place,
    news,
    h(
      "section",
      h("h2", t("tip.section")),
      h("p.quiet", t("tip.lead")),
      h("a.button", { href: "/tips" }, t("tip.title")),
    ),
  );
  let shown = "";
  async function refresh() {
    const answer = await call("requests");
    const now = JSON.stringify(answer);
    if (now === shown) return;
    shown = now;
    place.replaceChildren(...body(answer));
  }
  await refresh();
  call("bulletins")
    .then((found) => news.replaceChildren(...bulletins(found)))
    .catch(() => {});
  const timer = setInterval(() => refresh().catch(() => {}), REFRESH_MS);
  return () => clearInterval(timer);
}

/** @param {Answer} options */
function body({ requests: found, opt_outs: optOuts }) {
  const waiting = found.filter((/** @type {Answer} */ each) => WAITING.includes(each.state));
  const others = found.filter((/** @type {Answer} */ each) => !WAITING.includes(each.state));
  return [
    optOuts.some((/** @type {Answer} */ each) => each.scope === "all") &&
      h("p.note", t("requests.opted-out"), " ", h("a", { href: "/settings" }, t("requests.opted-out.change"))),
    waiting.length
      ? h(
          "ul.cards",
          waiting.map((/** @type {Answer} */ each) => h("li", card(each))),
        )
      : h("div.empty", h("p", t("requests.none")), h("p.quiet", t("requests.none.text"))),
    others.length > 0 && [
      h("h2", t("requests.earlier")),
      h(
        "ul.cards.small",
        others.map((/** @type {Answer} */ each) => h("li", card(each))),
      ),
    ],
  ]
    .flat()
    .filter(Boolean);
}

/** @param {Answer} request */
function card(request) {
  const isWaiting = WAITING.includes(request.state);
  const isUntrusted = !request.trusted && (isWaiting || EITHER.includes(request.state));
  const who = requesterName(request);
  return h(
    "article.card.request",
    h(
      "header",
      h("p.who", { dir: "auto" }, who),
      h(
        `p.state.${request.state.replaceAll(" ", "-")}`,
        t(isUntrusted && !isWaiting ? "state.ended" : `state.${request.state}`),
      ),
    ),
    // A request from before this owner's enrolment fails to open for them.
    request.kind &&
      h("p", t("requests.asks", { kind: t(`kind.${request.kind}`), incident: t(`incident.${request.incident}`) })),
    request.from && h("p.when", span(request.from * 1000, request.to * 1000)),
    isWaiting &&
      h("p.quiet", t(request.certain ? "requests.match" : "requests.match.possible", { n: request.segments })),
    isUntrusted && h("p.quiet", t("requests.untrusted")),
    !isWaiting && h("p.quiet", t("requests.received", { date: dateAndClock(request.received_ms) })),
    h(
      isWaiting ? "a.button.primary" : "a.button",
      { href: `/requests/${request.id}`, "aria-label": t("requests.look.at", { who }) },
      t("requests.look"),
    ),
  );
}

/**
 * Safety messages of those this owner trusts. They need no answer.
 *
 * @param {Answer[]} found
 */
function bulletins(found) {
  if (!found.length) return [];
  return [
    h("h2", t("bulletins")),
    h("p.quiet", t("bulletins.text")),
    h(
      "ul.cards.small",
      found.map((each) =>
        h(
          "li",
          h(
            "article.card.bulletin",
            h("header", h("p.who", { dir: "auto" }, each.who), h("p.quiet", t(`kind.${each.kind}`))),
            h("h3", { dir: "auto", lang: each.language }, each.title),
            h("p", { dir: "auto", lang: each.language }, each.description),
            h("p.quiet", t("bulletins.until", { date: shortDate(each.until * 1000) })),
          ),
        ),
      ),
    ),
  ];
}

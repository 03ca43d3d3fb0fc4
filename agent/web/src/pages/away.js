// The page for a doorbell that fails to answer: says when it was last seen, and goes on when it is back.
//
// ../away.js has the way through a relay.
import { call } from "../ui/client.js";
import { h } from "../ui/dom.js";
import { lastSeen } from "../ui/last_seen.js";
import { t, withCode } from "../ui/texts.js";

const AGAIN_MS = 5_000;

/**
 * Shows itself in `content` and tries until `again` has been called once. Returns how to leave it.
 *
 * @param {HTMLElement} content
 * @param {() => unknown} again
 */
export function away(content, again) {
  const since = lastSeen();
  // Plain HTTP: a doorbell that replaced this one has an authority that this browser does not trust yet.
  const install = `http://${location.host}/install`;
  content.append(
    h("h1", t("away.title")),
    h("p", { role: "alert" }, since ? h("strong", t("away.seen", { since })) : null, " ", t("away.text")),
    h("p.quiet", t("away.trying")),
    h("button", { type: "button", onclick: () => again() }, t("again")),
    h(
      "details",
      h("summary", t("away.replaced")),
      h("p", withCode("lost.replaced")),
      h("p", h("a", { href: install }, t("away.install"))),
    ),
  );
  let isAsking = false;
  const timer = setInterval(async () => {
    if (isAsking || document.visibilityState !== "visible") return;
    isAsking = true;
    const isBack = await call("hello").then(
      () => true,
      () => false,
    );
    isAsking = false;
    if (isBack && content.isConnected) again();
  }, AGAIN_MS);
  return () => clearInterval(timer);
}

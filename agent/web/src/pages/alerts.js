// Channels through which owners get alerts: those of the configuration, this browser by web push, and a test of all.
import { ask, call } from "../ui/client.js";
import { say, withCredential } from "../ui/dialogs.js";
import { h } from "../ui/dom.js";
import { subscription } from "../ui/subscription.js";
import { dateAndClock, explain, language, t } from "../ui/texts.js";
import { quietHours } from "./household.js";

/** @import { Answer, Credential, Save } from "../types.js" */

/**
 * @param {Answer} facts
 * @param {Save} save
 * @param {() => Promise<unknown>} again
 */
export async function alerts(facts, save, again) {
  if (!facts.alerts) return [h("h2", t("alerts")), h("p.quiet", t("alerts.off"))];
  const problem = h("p.problem", { role: "alert" });
  /** @param {() => Promise<unknown>} action */
  const doing = (action) => async () => {
    problem.textContent = "";
    try {
      await action();
    } catch (error) {
      problem.textContent = explain(error);
    }
  };
  const test = doing(async () => say(t("alerts.tested", { n: (await ask("alerts_test")).channels.length })));
  const told = await ask("status").catch(() => undefined);
  const faults = Object.entries(told?.alerts?.channels ?? {}).filter(([, channel]) => channel.failures > 0);
  return [
    h("h2", t("alerts")),
    h("p.quiet", t("alerts.text")),
    faults.map(([name, { waiting, fault }]) =>
      h("p.note", t("alerts.fault", { name, n: waiting }), fault && [" ", h("bdi", { lang: "en" }, fault)]),
    ),
    h("div.row", h("button", { type: "button", onclick: test }, t("alerts.test")), await browserSection(doing, again)),
    problem,
    ...(await browsersTold(doing, again)),
    h("h3", t("quiet")),
    ...quietHours(facts, save),
  ].flat();
}

/**
 * Asks for a signature that ends the alerts of one browser. True if it was given.
 *
 * @param {string} endpoint
 * @param {string} title
 * @param {string} text
 */
const endAlerts = (endpoint, title, text) =>
  withCredential(title, text, t("set.yes"), (/** @type {Credential} */ credential) =>
    call("decide", { kind: "push-unsubscription", matter: { endpoint }, credential }),
  );

/** Tells the doorbell that an owner uses this browser, so that its alerts go on to have pictures. */
export async function noteUse() {
  const subscribed = await subscription().catch(() => undefined);
  if (!subscribed) return;
  const { browsers } = await ask("page_browsers");
  const browser = browsers.find((/** @type {Answer} */ each) => each.this)?.browser ?? "";
  await ask("push_used", { endpoint: subscribed.endpoint, browser, language: language() });
}

/**
 * All browsers that get alerts, with their glance keys. Any owner can end each of them.
 *
 * @param {(action: () => Promise<unknown>) => () => Promise<void>} doing
 * @param {() => Promise<unknown>} again
 */
async function browsersTold(doing, again) {
  const [{ browsers }, own] = await Promise.all([ask("push_browsers"), subscription().catch(() => undefined)]);
  if (!browsers.length) return [];
  /** @param {Answer} each */
  const facts = (each) =>
    [
      each.owner,
      each.endpoint === own?.endpoint
        ? t("browsers.this")
        : t("alerts.browsers.used", { date: dateAndClock(each.used_s * 1000) }),
      t(`alerts.browsers.pictures.${each.pictures}`),
    ].filter(Boolean);
  /** @param {Answer} each */
  const end = (each) =>
    doing(async () => {
      if (await endAlerts(each.endpoint, t("alerts.browsers.end"), t("alerts.browsers.end.text"))) await again();
    });
  return [
    h("h3", t("alerts.browsers")),
    h("p.quiet", t("alerts.browsers.text")),
    h(
      "ul.plain",
      browsers.map((/** @type {Answer} */ each) =>
        h(
          "li.row.between",
          h("span", each.browser || t("alerts.browsers.unnamed"), h("small.quiet", facts(each).join(" · "))),
          each.endpoint !== own?.endpoint &&
            h("button.small", { type: "button", onclick: end(each) }, t("alerts.browsers.end")),
        ),
      ),
    ),
  ];
}

/**
 * @param {(action: () => Promise<unknown>) => () => Promise<void>} doing
 * @param {() => Promise<unknown>} again
 */
async function browserSection(doing, again) {
  // Safari on an iPhone: a page in a tab has no alerts, the installed page has.
  if ("standalone" in navigator && !navigator.standalone) return h("p.note", t("alerts.home-screen"));
  const worker = await navigator.serviceWorker?.getRegistration();
  if (!worker?.pushManager || !("Notification" in globalThis)) return null;
  const subscribed = await worker.pushManager.getSubscription();
  if (subscribed) {
    const leave = doing(async () => {
      const { endpoint } = subscribed;
      if (!(await endAlerts(endpoint, t("alerts.browser.off"), t("alerts.browser.off.text")))) return;
      await subscribed.unsubscribe();
      await again();
    });
    return h("button", { type: "button", onclick: leave }, t("alerts.browser.off"));
  }
  const join = doing(async () => {
    if ((await Notification.requestPermission()) !== "granted") return say(t("alerts.denied"));
    const { key } = await ask("push_key");
    const made = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    const { endpoint, keys } = made.toJSON();
    const matter = { endpoint, p256dh: keys?.p256dh, auth: keys?.auth, ...(await call("makeGlanceKey")) };
    /** @param {Credential} credential */
    const sign = (credential) => call("decide", { kind: "push-subscription", matter, credential });
    if (!(await withCredential(t("alerts.browser"), t("alerts.browser.text"), t("set.yes"), sign)))
      return made.unsubscribe();
    await noteUse();
    say(t("alerts.browser.done"));
    return again();
  });
  return h("button", { type: "button", onclick: join }, t("alerts.browser"));
}

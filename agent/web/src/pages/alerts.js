// Channels through which owners get alerts: those of the configuration, this browser by web push, and a test of all.
import { ask, call } from "../ui/client.js";
import { say, withCredential } from "../ui/dialogs.js";
import { h } from "../ui/dom.js";
import { explain, t } from "../ui/texts.js";
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
      h("p.note", t("alerts.fault", { name, n: waiting }), fault && [" ", h("span", { lang: "en" }, fault)]),
    ),
    h("div.row", h("button", { type: "button", onclick: test }, t("alerts.test")), await browserSection(doing, again)),
    problem,
    h("h3", t("quiet")),
    ...quietHours(facts, save),
  ].flat();
}

/**
 * @param {(action: () => Promise<unknown>) => () => Promise<void>} doing
 * @param {() => Promise<unknown>} again
 */
async function browserSection(doing, again) {
  const worker = await navigator.serviceWorker?.getRegistration();
  if (!worker?.pushManager || !("Notification" in globalThis)) return null;
  const subscribed = await worker.pushManager.getSubscription();
  if (subscribed) {
    const leave = doing(async () => {
      const matter = { endpoint: subscribed.endpoint };
      /** @param {Credential} credential */
      const sign = (credential) => call("decide", { kind: "push-unsubscription", matter, credential });
      if (!(await withCredential(t("alerts.browser.off"), t("alerts.browser.off.text"), t("set.yes"), sign))) return;
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
    const matter = { endpoint, p256dh: keys?.p256dh, auth: keys?.auth, glance: await call("makeGlanceKey") };
    /** @param {Credential} credential */
    const sign = (credential) => call("decide", { kind: "push-subscription", matter, credential });
    if (!(await withCredential(t("alerts.browser"), t("alerts.browser.text"), t("set.yes"), sign)))
      return made.unsubscribe();
    say(t("alerts.browser.done"));
    return again();
  });
  return h("button", { type: "button", onclick: join }, t("alerts.browser"));
}

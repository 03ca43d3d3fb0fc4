// The rest of the set-up, each step to be done now or later in the settings: name and place, zones and masks, trusted
// requesters, alerts, a second phone.
import { go } from "../navigation.js";
import { ask, call } from "../ui/client.js";
import { say } from "../ui/dialogs.js";
import { existing, h } from "../ui/dom.js";
import { t } from "../ui/texts.js";
import { alerts } from "./alerts.js";
import { place } from "./household.js";
import { inviting, trust } from "./settings.js";
import { zones } from "./zones.js";

/** @import { Answer, Child, Credential } from "../types.js" */

const STILL_MS = 5000;

/**
 * Shows step after step; the credential that was just chosen signs them.
 *
 * @param {HTMLElement} content
 * @param {Credential} credential
 */
export function onboarding(content, credential) {
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  /** @type {[string, (next: () => Promise<unknown>) => Promise<Child>][]} */
  const steps = [
    ["place", async (next) => [h("p", t("rest.place")), await place(await ask("page_facts"), saving(next))]],
    [
      "picture",
      async (next) => [h("p", t("rest.picture")), zones(await ask("page_facts"), saving(next)), waitForStill()],
    ],
    ["trust", async () => (await trust(() => show(2), credential)).slice(1)],
    ["alerts", async (next) => (await alerts(await ask("page_facts"), saving(next), () => show(3))).slice(1)],
    [
      "second",
      async (next) => [h("p", t("rest.second")), h("p", t("rest.second.lost")), ...inviting(next, credential)],
    ],
  ];

  /** @param {() => Promise<unknown>} next */
  const saving = (next) => async (/** @type {Record<string, unknown>} */ changes) => {
    if (Object.keys(changes).length) await call("set", { changes, credential });
    say(t("set.done"));
    await next();
  };

  /** The first still to draw on comes as soon as a person has walked past. */
  function waitForStill() {
    let isMissed = false;
    const look = async () => {
      const { events } = await ask("events", { from_ms: 0, to_ms: Number.MAX_SAFE_INTEGER }).catch(() => ({
        events: [],
      }));
      if (events.some((/** @type {Answer} */ event) => event.poster)) {
        clearInterval(timer);
        if (isMissed) await show(1);
      }
      isMissed = true;
    };
    clearInterval(timer);
    timer = setInterval(look, STILL_MS);
    void look();
    return null;
  }

  /** @param {number} number */
  async function show(number) {
    clearInterval(timer);
    if (number === steps.length) return go("/timeline");
    const [name, make] = steps[number];
    const next = () => show(number + 1);
    const list = steps.map(([each], i) => h("li", { "aria-current": i === number ? "step" : undefined }, t(each)));
    const isLast = number === steps.length - 1;
    existing("main .lead").textContent = t("rest.lead");
    content.replaceChildren(
      h("ol.steps", list),
      h("h2", { tabindex: "-1" }, t(name)),
      h("div.card.rest", await make(next)),
      h("div.row.end", h("button", { type: "button", onclick: next }, t(isLast ? "rest.end" : "rest.later"))),
    );
    existing("h2", content).focus();
    return undefined;
  }
  void show(0);
  return () => clearInterval(timer);
}

// Shows urgent state on every page: how many requests wait, and that the doorbell is away or does not record.
import { LostError } from "../errors.js";
import { ask } from "./client.js";
import { h } from "./dom.js";
import { lastSeen, noteAnswer } from "./last_seen.js";
import { t } from "./texts.js";

const EVERY_MS = 10_000;
const RECORDS = ["recording", "watching"];

let heading = "";
let waitingCount = 0;

/**
 * From the first page on.  It asks as often whatever there is, and the answer is always as long (operations.py,
 * `_now`).
 */
export function watchLiveStatus() {
  setInterval(look, EVERY_MS);
  addEventListener("visibilitychange", look);
}

/** True while a person with unlocked keys has the page in view. */
const isLiveStatusWatched = () => document.body.dataset.bare === "false" && document.visibilityState === "visible";

export async function look() {
  if (!isLiveStatusWatched()) return tell("");
  try {
    const { waiting, camera } = await ask("page_now");
    noteAnswer();
    badge(Number(waiting));
    const state = camera.trim();
    tell(RECORDS.includes(state) ? "" : t("now.not-recording", { reason: t(`now.camera.${state || "no recorder"}`) }));
  } catch (error) {
    if (error instanceof LostError) tell(t("now.away", { since: lastSeen() }));
  }
}

/** @param {string} text */
function tell(text) {
  const place = document.querySelector("#now");
  if (place && place.textContent !== text) place.textContent = text;
}

/**
 * The title of the window: how many requests wait, the page, the program. Tabs and task switchers show its beginning.
 *
 * @param {string} page
 */
export function entitled(page) {
  heading = page;
  const count = waitingCount ? `(${waitingCount}) ` : "";
  if (page) document.title = `${count}${page} · Doorward`;
}

/** @param {number} waiting */
function badge(waiting) {
  waitingCount = waiting;
  entitled(heading);
  const link = /** @type {HTMLElement} */ (document.querySelector('nav a[href="/requests"]'));
  /** @type {HTMLElement | null} */
  const shown = link.querySelector(".badge");
  if ((shown?.dataset.count ?? "0") === String(waiting)) return;
  shown?.remove();
  if (waiting)
    link.append(
      h(
        "span.badge",
        { "data-count": String(waiting) },
        `${waiting} `,
        h("span.hidden", { "data-text": "now.waiting" }, t("now.waiting")),
      ),
    );
  // On the icon of an installed page, where the system has badges.
  (waiting ? navigator.setAppBadge?.(waiting) : navigator.clearAppBadge?.())?.catch(() => {});
}

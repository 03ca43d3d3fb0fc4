// Events and gaps as the doorbell lists them, and the words for an event, which are the same on every screen.
import { withLabels } from "../wire/labels.js";
import { ask } from "./client.js";
import { h } from "./dom.js";
import { labelsOf, onLabels } from "./posters.js";
import { listed, t } from "./texts.js";

/** @import { Answer } from "../types.js" */

/** @typedef {{ events: Answer[], gaps: Answer[], rings: number[], mark: string }} Found */

const EVERYTHING_MS = Number.MAX_SAFE_INTEGER;

/**
 * Returns all events, newest first, the gaps and the rings. Events that an owner has just deleted are left out.
 *
 * @returns {Promise<Found>}
 */
export async function everything() {
  const [{ events, gaps, rings }, { held, being_deleted: deleted }] = await Promise.all([
    ask("events", { from_ms: 0, to_ms: EVERYTHING_MS }),
    ask("kept"),
  ]);
  const gone = new Set(deleted);
  const shown = events
    .map((/** @type {Answer} */ event) => ({
      ...event,
      segments: event.segments.filter((/** @type {string} */ id) => !gone.has(id)),
    }))
    .filter((/** @type {Answer} */ event) => event.segments.length);
  for (const event of shown) event.kept = event.segments.some((/** @type {string} */ id) => id in held);
  const ends = [shown[0]?.end_ms, gaps[0]?.end_ms, rings[0]];
  const mark = `${shown.length} ${gaps.length} ${rings.length} ${ends.join(" ")} ${Object.keys(held).length}`;
  return { events: shown, gaps, rings: [...rings], mark };
}

/**
 * @param {string} kind
 * @param {readonly string[] | null | undefined} labels
 */
const joined = (kind, labels) => listed(withLabels(kind || "motion", labels).map((each) => t(`event.${each}`)));

/**
 * The words for an event: its kind, and the detected objects if the browser has opened the event's still.
 *
 * @param {Answer} event
 */
export const wordsOf = ({ kind, poster: still }) => joined(kind, labelsOf(still));

/**
 * An element with the words for an event. The labels are sealed in the event's still, so the words are completed
 * when the browser has opened the still.
 *
 * @param {Answer} event
 */
export const what = (event) =>
  h("span.what", { "data-still": event.poster ?? "", "data-kind": event.kind || "motion" }, wordsOf(event));

onLabels((id, labels) => {
  /** @type {NodeListOf<HTMLElement>} */
  const all = document.querySelectorAll(`[data-still="${id}"]`);
  for (const each of all) each.textContent = joined(each.dataset.kind ?? "", labels);
});

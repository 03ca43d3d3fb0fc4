// Presses of the button: which event shows them, and marks for them in its film.
import { h, ICONS, icon } from "./dom.js";
import { exact, t } from "./texts.js";

/** @import { Span } from "./days.js" */

/** After a press the film says for this long that the doorbell rang. */
const SAID_MS = 3_000;
/** A film that is opened at a ring begins a moment before it. */
const BEFORE_MS = 2_000;

/**
 * The rings in this event. A ring that ends one event and begins the next belongs to the next.
 *
 * @param {Span} event
 * @param {{ events: Span[], rings: number[] }} found
 */
export const ringsOf = (event, { events, rings }) =>
  rings.filter(
    (at) =>
      holds(event, at) &&
      !events.some((other) => other.start_ms > event.start_ms && other.start_ms <= at && holds(other, at)),
  );

/**
 * The rings that no event shows: there was no camera, or its footage is gone.
 *
 * @param {{ events: Span[], rings: number[] }} found
 */
export const ringsAlone = ({ events, rings }) => rings.filter((at) => !events.some((event) => holds(event, at)));

/**
 * @param {Span} event
 * @param {number} at
 */
const holds = (event, at) => event.start_ms <= at && at <= event.end_ms;

/**
 * The film with a mark for each ring: in the picture while it plays, and on a line below it. `open(at)` plays from a
 * time on. `began(at)` says at which time the film that plays now begins.
 *
 * @param {HTMLVideoElement} video
 * @param {{ start: number, end: number }[]} segments
 * @param {number[]} rings
 * @param {(at: number) => void} open
 */
export function filmWithRings(video, segments, rings, open) {
  const [from, to] = [segments[0].start, segments[segments.length - 1].end];
  let begun = from;
  const said = h("p.rang-now", { role: "status", hidden: true });
  video.addEventListener("timeupdate", () => {
    const at = begun + video.currentTime * 1000;
    const ring = rings.find((each) => each <= at && at < each + SAID_MS);
    said.hidden = ring === undefined;
    if (ring !== undefined) said.textContent = t("event.rang-at", { time: exact(ring) });
  });
  const marks = rings.map((ring) => {
    const text = t("event.rang-at", { time: exact(ring) });
    const mark = h(
      "button.ring",
      { type: "button", title: text, "aria-label": text, onclick: () => open(Math.max(from, ring - BEFORE_MS)) },
      icon(...ICONS.bell),
    );
    mark.style.left = `${(100 * (ring - from)) / Math.max(1, to - from)}%`;
    return mark;
  });
  return {
    element: h("div", h("div.framed", video, said), marks.length > 0 && h("div.ring-line", marks)),
    /** @param {number} at */
    began(at) {
      begun = at;
    },
  };
}

// The drawing of an owner on one clip: covers that move between places, and mutes. Each change keeps a draft
// that redaction_plan.js accepts, so an owner cannot draw a plan that fails later for its times.
import { MOST_PLACES, placeAt, placesWithin, WHOLE } from "../wire/redactions.js";

/** @import { Planned } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
/** @typedef {[left: number, top: number, width: number, height: number]} Rectangle in ten-thousandths of the picture */
/**
 * @typedef {Required<Planned> & { hand?: Wire.Place[], unsure?: Stretch[] }} Draft a cover that follows what is below
 *   it keeps the places that its owner set, and where it is unsure. A plan has neither, so both stay in the browser.
 */
/** @typedef {[from: number, until: number]} Stretch ms of the clip */

/** The smallest cover that a pointer draws: a shorter stroke is a click. */
const SMALLEST = 150;
/** An end this close to the end of the clip is its end, so that no last picture is left, however long the clip is. */
const NEAR_END_MS = 500;
/** A cover that is added by keyboard. */
const MIDDLE = /** @type {Rectangle} */ ([4000, 3500, 2000, 3000]);

/**
 * A cover for all of the clip. An owner shortens it, so that a face is not shown because they forgot to lengthen it.
 *
 * @param {number} atMs the moment at which it was drawn
 * @param {number} lengthMs of the clip
 * @param {Rectangle} [rectangle]
 * @returns {Draft}
 */
export const newCover = (atMs, lengthMs, rectangle = MIDDLE) => ({
  kind: "face",
  from_ms: 0,
  until_ms: lengthMs,
  places: [[Math.min(atMs, lengthMs), ...rectangle]],
});

/**
 * @param {number} lengthMs of the clip
 * @returns {Draft}
 */
export const newMute = (lengthMs) => ({ kind: "voice", from_ms: 0, until_ms: lengthMs, places: [] });

/**
 * True if the cover is there at that moment.
 *
 * @param {Draft} draft
 * @param {number} atMs
 */
export const isThere = ({ from_ms: from, until_ms: until }, atMs) => from <= atMs + 1 && atMs <= until;

/**
 * Where the cover is at a moment.
 *
 * @param {Draft} draft
 * @param {number} atMs
 * @returns {Rectangle}
 */
export function rectangleAt({ places, from_ms: from, until_ms: until }, atMs) {
  const [, ...rectangle] = placeAt(places, Math.min(Math.max(atMs, from), until));
  return rectangle;
}

/**
 * The cover with that rectangle at that moment. Between two moments it moves in a straight line.
 *
 * @param {Draft} draft
 * @param {number} atMs
 * @param {Rectangle} rectangle
 * @returns {Draft}
 */
export function withPlace(draft, atMs, rectangle) {
  const at = Math.min(Math.max(atMs, draft.from_ms), draft.until_ms);
  /** @param {Wire.Place[]} places */
  const joined = (places) =>
    /** @type {Wire.Place[]} */ ([...without(places, at), [at, ...rectangle]]).sort(([one], [other]) => one - other);
  // The list has a limit, and a segment takes one place at each of its ends.
  if (without(draft.places, at).length >= MOST_PLACES - 2) return draft;
  return { ...draft, places: joined(draft.places), ...(draft.hand ? { hand: joined(draft.hand) } : {}) };
}

/**
 * @param {Wire.Place[]} places
 * @param {number} atMs
 */
const without = (places, atMs) => places.filter(([time]) => time !== atMs);

/**
 * The cover without its place at that moment. Its last place stays.
 *
 * @param {Draft} draft
 * @param {number} atMs
 * @returns {Draft}
 */
export function withoutPlace(draft, atMs) {
  const [places, hand] = [draft.places, handOf(draft)].map((each) => without(each, atMs));
  return places.length && hand.length ? { ...draft, places, ...(draft.hand ? { hand } : {}) } : draft;
}

/**
 * The places that the owner set: all of them, unless the cover has followed.
 *
 * @param {Draft} draft
 */
export const handOf = ({ hand, places }) => hand ?? places;

/**
 * The cover where it has followed what is below it.
 *
 * @param {Draft} draft
 * @param {{ places: Wire.Place[], unsure: Stretch[] }} followed
 * @returns {Draft}
 */
export const withFollowed = (draft, { places, unsure }) => ({ ...draft, hand: handOf(draft), places, unsure });

/**
 * True if the cover is unsure at that moment.
 *
 * @param {Draft} draft
 * @param {number} atMs
 */
export const isUnsure = ({ unsure = [] }, atMs) => unsure.some(([from, until]) => from <= atMs && atMs <= until);

/**
 * The draft from one moment until another. Where a cover was beyond these, it begins or ends.
 *
 * @param {Draft} draft
 * @param {number} fromMs
 * @param {number} untilMs
 * @param {number} lengthMs of the clip
 * @returns {Draft}
 */
export function between(draft, fromMs, untilMs, lengthMs) {
  const from = Math.min(Math.max(0, fromMs), lengthMs - 1);
  const isEnd = untilMs > lengthMs - NEAR_END_MS && untilMs > from;
  const until = isEnd ? lengthMs : Math.max(from + 1, untilMs);
  const { places } = draft;
  const isWithin = places.every(([at]) => from <= at && at <= until);
  const cut = {
    ...draft,
    from_ms: from,
    until_ms: until,
    places: isWithin ? places : placesWithin(places, from, until),
  };
  if (!draft.hand) return cut;
  const hand = draft.hand.filter(([at]) => from <= at && at <= until);
  const unsure = (draft.unsure ?? []).filter((each) => each[0] <= until && from <= each[1]);
  // Without a place that the owner set in it, the rest follows from where the cover is.
  return { ...cut, unsure, hand: hand.length ? hand : [placeAt(cut.places, from)] };
}

/** Half of what a field shows of a time, hundredths of a second, less what `isThere` allows. */
const ROUNDED_MS = 4;

/**
 * The moment that an owner types as a begin or an end. A picture at 0.067 s is shown as at 0.07 s, so the moment is
 * rounded outwards: a cover that begins at "0.07" includes that picture.
 *
 * @param {"from_ms" | "until_ms"} end
 * @param {number} seconds
 */
export const typed = (end, seconds) => Math.round(seconds * 1000) + (end === "from_ms" ? -ROUNDED_MS : ROUNDED_MS);

/**
 * The rectangle between two corners, within the picture; undefined for a click.
 *
 * @param {[number, number]} one in shares of the picture
 * @param {[number, number]} other
 * @returns {Rectangle | undefined}
 */
export function rectangleOf(one, other) {
  const [x, y] = [0, 1].map((side) => [one[side], other[side]].map(inWhole).sort((a, b) => a - b));
  const [width, height] = [x[1] - x[0], y[1] - y[0]];
  return width >= SMALLEST && height >= SMALLEST ? [x[0], y[0], width, height] : undefined;
}

/**
 * A rectangle moved and grown by shares of the picture, and kept within it.
 *
 * @param {Rectangle} rectangle
 * @param {{ right?: number, down?: number, wider?: number, higher?: number }} by
 * @returns {Rectangle}
 */
export function changed([left, top, width, height], { right = 0, down = 0, wider = 0, higher = 0 }) {
  const [across, tall] = [
    Math.min(WHOLE, Math.max(1, width + steps(wider))),
    Math.min(WHOLE, Math.max(1, height + steps(higher))),
  ];
  return [
    Math.min(WHOLE - across, Math.max(0, left + steps(right))),
    Math.min(WHOLE - tall, Math.max(0, top + steps(down))),
    across,
    tall,
  ];
}

/** @param {number} share */
const steps = (share) => Math.round(share * WHOLE);
/** @param {number} share */
const inWhole = (share) => Math.min(WHOLE, Math.max(0, steps(share)));

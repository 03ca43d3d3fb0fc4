// The plan of an owner, covers of clips and mutes of their sound, as redactions of each segment, and the files that may
// not leave beside them (agent/clients/owner/redaction.py and decisions.py). Its errors say what `doorward owner` says.
import { PageError } from "../errors.js";
import { MOST_PLACES, MOST_REDACTIONS, placesWithin, WHOLE } from "../wire/redactions.js";

/** @import { Clip, Choice, Planned, Reviewed, Offered } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
/** @typedef {"segment" | "sound"} File the file of a segment that a redaction is in */
/** @typedef {{ id: string, lengthMs: number }} Stretch a segment and the length of its film */
/** @typedef {Record<File, Record<string, Wire.Redaction[]>>} Redactions by the id of the segment */

/** @param {Planned} planned */
export const fileOf = (planned) => (planned.kind === "voice" ? "sound" : "segment");

/**
 * The plans of clips, by their event, as redactions of their segments. Throws `PageError`, which names the entry, if a
 * plan is malformed.
 *
 * @param {Record<string, Planned[]>} plans
 * @param {{ event: string, segments: Stretch[] }[]} clips
 * @returns {Redactions}
 */
export function redactionsOf(plans, clips) {
  /** @type {Redactions} */
  const found = { segment: {}, sound: {} };
  for (const { event, segments } of clips) {
    for (const [i, planned] of (plans[event] ?? []).entries()) {
      for (const { id, redaction } of placed(planned, segments, i + 1)) {
        const file = found[fileOf(planned)];
        file[id] = [...(file[id] ?? []), redaction];
      }
    }
  }
  if ([...Object.values(found.segment), ...Object.values(found.sound)].some((each) => each.length > MOST_REDACTIONS))
    throw new PageError("error.plan-many", { most: MOST_REDACTIONS });
  return found;
}

/**
 * The part of an entry that lies in each segment, with times counted from that segment's begin.
 *
 * @param {Planned} planned
 * @param {Stretch[]} segments
 * @param {number} number of the entry, for errors
 */
export function placed(planned, segments, number = 1) {
  const length = segments.reduce((sum, each) => sum + each.lengthMs, 0);
  const whole = checked({ until_ms: length, places: [], ...planned }, number);
  if (whole.from_ms >= length) throw new PageError("error.plan-late", { number });
  const found = [];
  let begin = 0;
  for (const { id, lengthMs } of segments) {
    const [from, until] = [Math.max(whole.from_ms, begin), Math.min(whole.until_ms, begin + lengthMs)];
    if (from < until) found.push({ id, redaction: moved(whole, from, until, begin, number) });
    begin += lengthMs;
  }
  if (planned.kind === "voice") found.push(...beside(whole, segments));
  return found;
}

/** A sound can hold this much of what came before and after its film (agent/clients/owner/redaction.py). */
const SOUNDS_BEYOND_MS = 300;

/**
 * Mutes of those segments that only sound into the muted stretch.
 *
 * @param {Wire.Redaction} mute
 * @param {Stretch[]} segments
 */
function beside({ kind, from_ms: from, until_ms: until }, segments) {
  const found = [];
  let begin = 0;
  for (const { id, lengthMs } of segments) {
    const end = begin + lengthMs;
    const [first, last] = [Math.max(begin, from - SOUNDS_BEYOND_MS), Math.min(end, until + SOUNDS_BEYOND_MS)];
    if ((end <= from || until <= begin) && first < last)
      found.push({ id, redaction: { kind, from_ms: first - begin, until_ms: last - begin } });
    begin = end;
  }
  return found;
}

/**
 * An entry of the plan by the rules of the list.
 *
 * @param {Required<Planned>} planned
 * @param {number} number
 * @returns {Wire.Redaction}
 */
function checked({ kind, from_ms: from, until_ms: until, places }, number) {
  /** @param {string} text */
  const bad = (text) => new PageError(text, { number });
  for (const [, left, top, across, down] of places) {
    const isWithin = [left, top].every((each) => each >= 0) && left + across <= WHOLE && top + down <= WHOLE;
    if (!isWithin || across < 1 || down < 1) throw bad("error.plan-outside");
  }
  if (from >= until) throw bad("error.plan-backwards");
  if ((places.length === 0) !== (kind === "voice")) throw bad("error.plan-nowhere");
  if (places.length > MOST_PLACES) throw new PageError("error.plan-places", { number, most: MOST_PLACES });
  if (places.some(([at], i) => i > 0 && at <= places[i - 1][0])) throw bad("error.plan-order");
  if (places.some(([at]) => at < from || at > until)) throw bad("error.plan-place-time");
  return { kind, from_ms: from, until_ms: until, ...(places.length ? { places } : {}) };
}

/**
 * The stretch of a redaction as the segment that begins at `begin` counts it.
 *
 * @param {Wire.Redaction} redaction
 * @param {number} from
 * @param {number} until
 * @param {number} begin
 * @param {number} number
 * @returns {Wire.Redaction}
 */
function moved({ kind, places }, from, until, begin, number) {
  const span = { kind, from_ms: from - begin, until_ms: until - begin };
  if (!places) return span;
  const within = placesWithin(places, from, until);
  if (within.length > MOST_PLACES) throw new PageError("error.plan-places", { number, most: MOST_PLACES });
  return { ...span, places: within.map(([at, ...place]) => [at - begin, ...place]) };
}

// Files that may not leave beside a redaction

/** Films of one camera follow each other within one picture. A longer overlap shows the same moments twice. */
const OVERLAP_US = 100_000;
/** A plan is rounded to milliseconds, outwards. */
const ROUNDED_US = 1000;

/** @typedef {Pick<Wire.TimeSpan, "boot" | "start_us" | "end_us">} Span by the clock since a boot */
/** @typedef {{ number: number, id: string, span: Span, isCut: boolean }} Dated a segment with its own time */
/** @typedef {{ number: number, event: string, poster: string | null, segments: Dated[] }} DatedClip */

/**
 * Throws `PageError` if the choice would hand over what the redactions hide, as its still or in another recording of
 * the same time, or if they change nothing of it.
 *
 * @param {Redactions} redactions
 * @param {DatedClip[]} clips
 * @param {Pick<Choice, "segments" | "posters" | "sounds">} choice
 */
export function requireHidden(redactions, clips, { segments, posters, sounds = [] }) {
  const isPlanned = [redactions.segment, redactions.sound].some((each) => Object.keys(each).length > 0);
  if (!isPlanned) return;
  const chosen = { segment: new Set(segments), sound: new Set(sounds) };
  if (!FILES.some((file) => [...chosen[file]].some((id) => redactions[file][id])))
    throw new PageError("error.plan-nothing");
  const stills = clips.filter(({ poster }) => poster !== null && posters.includes(poster));
  for (const { number, segments: own } of stills)
    if (own.some(({ id }) => redactions.segment[id])) throw new PageError("error.plan-still", { number });
  const all = clips.flatMap((clip) => clip.segments).sort((one, other) => one.number - other.number);
  for (const file of FILES) {
    const hidden = all.filter(({ id }) => redactions[file][id]);
    for (const each of all.filter(({ id }) => chosen[file].has(id) && !redactions[file][id])) {
      const other = sameTime(each, hidden, redactions[file], file);
      if (other) throw new PageError(`error.plan-other-${file}`, { number: each.number, other: other.number });
    }
  }
  const covered = all.filter(({ id }) => redactions.segment[id]);
  for (const { number, segments: own } of stills)
    if (own.some((each) => sameTime(each, covered, redactions.segment, "segment")))
      throw new PageError("error.plan-other-still", { number });
}

/** @type {File[]} */
const FILES = ["segment", "sound"];

/**
 * A segment in which a time is hidden that `segment` holds too. A cut one cannot be redacted.
 *
 * @param {Dated} segment
 * @param {Dated[]} hidden
 * @param {Record<string, Wire.Redaction[]>} redactions
 * @param {File} file
 */
function sameTime({ span }, hidden, redactions, file) {
  const beyond = file === "sound" ? SOUNDS_BEYOND_MS * 1000 : 0;
  return hidden.find(({ id, isCut, span: other }) => {
    const both = Math.min(span.end_us, other.end_us) - Math.max(span.start_us, other.start_us);
    if (isCut || other.boot !== span.boot || (both <= OVERLAP_US && file !== "sound")) return false;
    return redactions[id].some(({ from_ms: from, until_ms: until }) => {
      const first = Math.max(span.start_us - beyond, other.start_us + from * 1000);
      return Math.min(span.end_us + beyond, other.start_us + until * 1000) - first > ROUNDED_US;
    });
  });
}

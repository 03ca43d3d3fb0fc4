// Joins the faces of single pictures to covers that move, as agent/clients/media/face_tracks.py does. Its documentation
// has the reasons, and tests/web/test_suggesting.py compares both.
import { MOST_PLACES, WHOLE } from "../wire/redactions.js";

/** @import { Bytes } from "../types.js" */
/** @import { Draft } from "./cover_draft.js" */
/** @import * as Wire from "../wire/generated.js" */
/** @typedef {[left: number, top: number, right: number, bottom: number]} Box in shares of the picture */
/** @typedef {{ data: Uint8Array | Bytes, rows: number, columns: number }} Luma brightness of a picture */
/** @typedef {{ at: number, box: Box, unseen: number }} Known where a face is at a moment, in ms; ms to a detection */
/** @typedef {Draft & { places: Wire.Place[] }} Suggested */
/** @typedef {{ known: Known[], scores: number[], seen: number, isOpen: boolean }} Track */

export const SAMPLE_MS = 100;
export const LEAST_SCORE = 0.25;
const FOLLOW_MS = 2000;
const HOLD_MS = 400;
const SURE_SCORE = 0.5;
const SURE_COUNT = 3;
const LEAST_LIKENESS = 0.6;
const MARGIN = 0.3;
const GROWTH_PER_S = 0.25;
const TOLERANCE = 0.08;
const GRID = 12;
const REACH = 0.75;
const FAR_REACH = 2.5;
const MOST_FACES = 128;
const STEPS = 5;
const MOST_RECENT = Math.floor(FOLLOW_MS / SAMPLE_MS) + 2;

/** Takes the examined pictures of a clip in order, and returns the covers. */
export class FaceTracker {
  #kind;
  /** @type {Track[]} */
  #tracks = [];
  /** @type {{ at: number, luma: Luma }[]} */
  #recent = [];

  /** @param {"face" | "plate"} [kind] */
  constructor(kind = "face") {
    this.#kind = kind;
  }

  /**
   * @param {number} at ms of the clip
   * @param {Luma} luma
   * @param {[score: number, box: Box][]} found the surest first
   */
  add(at, luma, found) {
    const faces = found.slice(0, MOST_FACES);
    const before = this.#recent.at(-1);
    if (before && at <= before.at) return;
    this.#recent.push({ at, luma });
    if (this.#recent.length > MOST_RECENT) this.#recent.shift();
    const open = before ? this.#tracks.filter(({ isOpen }) => isOpen) : [];
    const matched = matches(open, at, faces);
    open.forEach((track, number) => {
      const each = matched.get(number);
      if (each !== undefined) see(track, at, ...faces[each]);
      else if (before) follow(track, before.luma, at, luma);
    });
    const taken = new Set(matched.values());
    faces.forEach(([score, box], each) => {
      if (!taken.has(each)) this.#begin(at, score, box);
    });
  }

  /**
   * The covers of the clip, the longest first.
   *
   * @param {number} lengthMs
   * @returns {Suggested[]}
   */
  finish(lengthMs) {
    const counted = this.#tracks.filter(
      ({ scores }) => Math.max(...scores) >= SURE_SCORE || scores.length >= SURE_COUNT,
    );
    counted.sort((one, other) => other.known.length - one.known.length || one.known[0].at - other.known[0].at);
    /** @type {Track[]} */
    const kept = [];
    for (const track of counted) if (!kept.some((other) => isWithin(track, other))) kept.push(track);
    const found = kept.flatMap((track) => draftsOf(track, lengthMs, this.#kind));
    /** @param {Suggested} draft */
    const length = (draft) => draft.until_ms - draft.from_ms;
    return found.sort((one, other) => length(other) - length(one) || one.from_ms - other.from_ms);
  }

  /**
   * A face that no cover is at. It follows its pattern back to where a cover ended or none was.
   *
   * @param {number} at
   * @param {number} score
   * @param {Box} box
   */
  #begin(at, score, box) {
    /** @type {Known[]} */
    const back = [{ at, box, unseen: 0 }];
    for (let i = this.#recent.length - 1; i > 0; i--) {
      const [earlier, later] = [this.#recent[i - 1], this.#recent[i]];
      if (at - earlier.at > FOLLOW_MS) break;
      const last = back[back.length - 1].box;
      const found = followed(later.luma, last, earlier.luma, last);
      if (!found) break;
      back.push({ at: earlier.at, box: found, unseen: at - earlier.at });
    }
    const first = back[back.length - 1];
    for (const track of this.#tracks) {
      const end = lastOf(track);
      const gap = first.at - end.at;
      const there = (back.find((each) => each.at <= end.at) ?? first).box;
      if (track.isOpen || gap > FOLLOW_MS || !isNear(end.box, there, REACH + Math.max(0, gap) / 1000)) continue;
      track.known.push(...[...back].reverse().filter((each) => each.at > end.at));
      track.scores.push(score);
      Object.assign(track, { seen: at, isOpen: true });
      return;
    }
    this.#tracks.push({ known: back.reverse(), scores: [score], seen: at, isOpen: true });
  }
}

/** @param {Track} track */
const lastOf = ({ known }) => known[known.length - 1];

/**
 * The face of each track in this picture, by numbers: the nearest first.
 *
 * @param {Track[]} open
 * @param {number} at
 * @param {[number, Box][]} faces
 * @returns {Map<number, number>}
 */
function matches(open, at, faces) {
  /** @type {Map<number, number>} */
  const matched = new Map();
  const taken = new Set();
  for (const reach of [REACH, FAR_REACH]) {
    const pairs = open.flatMap((track, number) => {
      const expected = expectedOf(track, at);
      return faces.flatMap(([, box], each) =>
        isNear(expected, box, reach) ? [{ far: distance(expected, box), number, each }] : [],
      );
    });
    pairs.sort((one, other) => one.far - other.far || one.number - other.number || one.each - other.each);
    for (const { number, each } of pairs) {
      if (matched.has(number) || taken.has(each)) continue;
      matched.set(number, each);
      taken.add(each);
    }
  }
  return matched;
}

/**
 * @param {Track} track
 * @param {number} at
 * @param {number} score
 * @param {Box} box
 */
function see(track, at, score, box) {
  track.known.push({ at, box, unseen: 0 });
  track.scores.push(score);
  track.seen = at;
}

/**
 * @param {Track} track
 * @param {Luma} before
 * @param {number} at
 * @param {Luma} luma
 */
function follow(track, before, at, luma) {
  const unseen = at - track.seen;
  const found = unseen <= FOLLOW_MS ? followed(before, lastOf(track).box, luma, expectedOf(track, at)) : undefined;
  if (found) track.known.push({ at, box: found, unseen });
  else track.isOpen = false;
}

/**
 * Where a face is if it goes on as it went in the last step.
 *
 * @param {Track} track
 * @param {number} at
 * @returns {Box}
 */
function expectedOf({ known }, at) {
  const last = known[known.length - 1];
  if (known.length < 2) return last.box;
  const before = known[known.length - 2];
  const share = Math.min(1, (at - last.at) / Math.max(1, last.at - before.at));
  const [from, to] = [middle(before.box), middle(last.box)];
  const [right, down] = [(to[0] - from[0]) * share, (to[1] - from[1]) * share];
  const [x, y, across, below] = last.box;
  return [x + right, y + down, across + right, below + down];
}

/**
 * Where the pattern below a box is in another picture, near `expected`; undefined if nothing is like it.
 *
 * @param {Luma} before
 * @param {Box} box
 * @param {Luma} now
 * @param {Box} expected
 * @returns {Box | undefined}
 */
function followed(before, box, now, expected) {
  const { rows, columns } = now;
  const [stepX, stepY] = [((box[2] - box[0]) * columns) / GRID, ((box[3] - box[1]) * rows) / GRID];
  const spread = pointsOf(before, [box[0] * columns, box[1] * rows], [stepX, stepY], 0, GRID);
  const size = centre(spread);
  if (!size) return undefined;
  const [left, top] = [expected[0] * columns, expected[1] * rows];
  const wide = GRID + 2 * STEPS;
  const area = pointsOf(now, [left, top], [stepX, stepY], -STEPS, GRID + STEPS);
  let best = -1;
  let found = [0, 0];
  const apart = new Float64Array(GRID * GRID);
  for (let down = 0; down <= 2 * STEPS; down++)
    for (let right = 0; right <= 2 * STEPS; right++) {
      for (let row = 0; row < GRID; row++)
        for (let column = 0; column < GRID; column++)
          apart[row * GRID + column] = area[(down + row) * wide + right + column];
      const norm = centre(apart);
      let sum = 0;
      for (let i = 0; i < apart.length; i++) sum += spread[i] * apart[i];
      const likeness = norm ? sum / Math.sqrt(size * norm) : 0;
      if (likeness > best) {
        best = likeness;
        found = [right - STEPS, down - STEPS];
      }
    }
  if (best < LEAST_LIKENESS) return undefined;
  const [x, y] = [(left + found[0] * stepX) / columns, (top + found[1] * stepY) / rows];
  return [x, y, x + box[2] - box[0], y + box[3] - box[1]];
}

/**
 * Brightness at the points of a grid. Beyond the rim it is as at the rim.
 *
 * @param {Luma} luma
 * @param {[left: number, top: number]} corner in pixels
 * @param {[across: number, down: number]} step in pixels
 * @param {number} first
 * @param {number} end
 */
function pointsOf({ data, rows, columns }, [left, top], [stepX, stepY], first, end) {
  /**
   * @param {number} at
   * @param {number} most
   */
  const within = (at, most) => Math.min(Math.max(Math.floor(at), 0), most - 1);
  const made = new Float64Array((end - first) ** 2);
  let to = 0;
  for (let row = first; row < end; row++) {
    const start = within(top + (row + 0.5) * stepY, rows) * columns;
    for (let column = first; column < end; column++)
      made[to++] = data[start + within(left + (column + 0.5) * stepX, columns)];
  }
  return made;
}

/**
 * Subtracts the mean, and returns the sum of the squares.
 *
 * @param {Float64Array} values
 */
function centre(values) {
  const mean = values.reduce((sum, each) => sum + each, 0) / values.length;
  let size = 0;
  for (let i = 0; i < values.length; i++) {
    values[i] -= mean;
    size += values[i] * values[i];
  }
  return size;
}

/** @param {Box} box */
const middle = ([left, top, right, bottom]) => [(left + right) / 2, (top + bottom) / 2];

/**
 * Distance of the middles, in sizes of the first box.
 *
 * @param {Box} one
 * @param {Box} other
 */
function distance(one, other) {
  const [[x, y], [otherX, otherY]] = [middle(one), middle(other)];
  return Math.hypot((x - otherX) / (one[2] - one[0]), (y - otherY) / (one[3] - one[1]));
}

/**
 * @param {Box} one
 * @param {Box} other
 * @param {number} reach
 */
function isNear(one, other, reach) {
  const ratio = (one[2] - one[0]) / (other[2] - other[0]);
  return ratio > 0.5 && ratio < 2 && distance(one, other) <= reach;
}

/**
 * True if the cover of another track covers each place of this one, too.
 *
 * @param {Track} track
 * @param {Track} other
 */
function isWithin(track, other) {
  const covers = new Map(other.known.map((each) => [each.at, grown(each).box]));
  return track.known.every(({ at, box }) => {
    const outer = covers.get(at);
    return outer && outer[0] <= box[0] && outer[1] <= box[1] && outer[2] >= box[2] && outer[3] >= box[3];
  });
}

// Covers

/**
 * @param {Track} track
 * @param {number} lengthMs
 * @param {"face" | "plate"} kind
 * @returns {Suggested[]}
 */
function draftsOf(track, lengthMs, kind) {
  const known = track.known.map(grown);
  // The tolerance is a share of the face, and a cover is larger than its face.
  const kept = simplified(widened(known), TOLERANCE / (1 + 2 * (MARGIN + TOLERANCE)));
  let from = Math.max(0, known[0].at - HOLD_MS);
  let until = known[known.length - 1].at + HOLD_MS;
  if (until >= lengthMs - HOLD_MS) until = lengthMs;
  if (from <= HOLD_MS) from = 0;
  // The plan has a limit of places, and each segment takes one at each of its ends.
  const most = MOST_PLACES - 4;
  /** @type {Known[][]} */
  const parts = [];
  for (let first = 0; first < Math.max(1, kept.length - 1); first += most - 1)
    parts.push(kept.slice(first, first + most));
  const ends = [from, ...parts.slice(0, -1).map((part) => part[part.length - 1].at), until];
  return parts.flatMap((part, i) => {
    const [begin, end] = [ends[i], ends[i + 1]];
    const places = part.filter(({ at }) => begin <= at && at <= end).map(placeOf);
    return begin < end ? [{ kind, from_ms: begin, until_ms: end, places }] : [];
  });
}

/**
 * @param {Known} known
 * @returns {Known}
 */
function grown({ at, unseen, box: [left, top, right, bottom] }) {
  const share = MARGIN + TOLERANCE + (GROWTH_PER_S * unseen) / 1000;
  const [across, down] = [(right - left) * share, (bottom - top) * share];
  return { at, unseen, box: [left - across, top - down, right + across, bottom + down] };
}

/**
 * Each place with those before and after it, within the picture.
 *
 * @param {Known[]} known
 * @returns {Known[]}
 */
export function widened(known) {
  return known.map((each, i) => {
    const near = known.slice(Math.max(0, i - 1), i + 2).map(({ box }) => box);
    /** @param {number} side */
    const sides = (side) => near.map((box) => box[side]);
    return {
      ...each,
      box: [
        within(Math.min(...sides(0))),
        within(Math.min(...sides(1))),
        within(Math.max(...sides(2))),
        within(Math.max(...sides(3))),
      ],
    };
  });
}

/** @param {number} side */
const within = (side) => Math.min(1, Math.max(0, side));

/**
 * The places that a straight line between others does not replace.
 *
 * @param {Known[]} known
 * @param {number} tolerance most that a cover may deviate from the line, as a share of its size
 */
export function simplified(known, tolerance) {
  const kept = [known[0]];
  let first = 0;
  for (let last = 2; last < known.length; last++) {
    const between = known.slice(first + 1, last);
    if (between.some((each) => deviates(known[first], known[last], each, tolerance))) {
      first = last - 1;
      kept.push(known[first]);
    }
  }
  if (known.length > 1) kept.push(known[known.length - 1]);
  return kept;
}

/**
 * @param {Known} one
 * @param {Known} two
 * @param {Known} between
 * @param {number} tolerance
 */
function deviates(one, two, { at, box }, tolerance) {
  const share = (at - one.at) / (two.at - one.at);
  const sizes = [box[2] - box[0], box[3] - box[1]];
  return box.some((side, i) => {
    // A side at the rim has no margin that would make up for a deviation.
    const most = side > 0 && side < 1 ? tolerance * sizes[i % 2] : 0;
    return Math.abs(one.box[i] + (two.box[i] - one.box[i]) * share - side) > most;
  });
}

/**
 * @param {Known} known
 * @returns {Wire.Place}
 */
export function placeOf({ at, box }) {
  const [left, top] = box.slice(0, 2).map((side) => Math.max(0, Math.min(WHOLE - 1, Math.floor(side * WHOLE))));
  const [right, bottom] = box.slice(2).map((side) => Math.max(1, Math.min(WHOLE, Math.ceil(side * WHOLE))));
  return [at, left, top, Math.max(1, right - left), Math.max(1, bottom - top)];
}

// A limit for covers

/**
 * Covers that hide the same places, at most `most` of them. The smallest is joined with the one that grows least by it,
 * as agent/clients/media/face_covers.py does.
 *
 * @param {Suggested[]} covers
 * @param {number} most
 */
export function atMost(covers, most) {
  const kept = [...covers];
  while (kept.length > Math.max(1, most)) {
    const least = kept.splice(leastOf(kept.map((each) => sizeOf(extentOf([each])))), 1)[0];
    const growth = kept.map((each) => sizeOf(extentOf([least, each])) - sizeOf(extentOf([each])));
    kept.push(joined(least, kept.splice(leastOf(growth), 1)[0]));
  }
  return kept;
}

/**
 * The number of the first of the smallest values.
 *
 * @param {number[]} values
 */
const leastOf = (values) => values.reduce((least, each, i) => (each < values[least] ? i : least), 0);

/** @param {Suggested[]} covers */
function extentOf(covers) {
  const places = covers.flatMap((each) => each.places);
  return {
    left: Math.min(...places.map(([, left]) => left)),
    top: Math.min(...places.map(([, , top]) => top)),
    right: Math.max(...places.map(([, left, , width]) => left + width)),
    bottom: Math.max(...places.map(([, , top, , height]) => top + height)),
    from: Math.min(...covers.map((each) => each.from_ms)),
    until: Math.max(...covers.map((each) => each.until_ms)),
  };
}

/** @param {ReturnType<typeof extentOf>} extent */
const sizeOf = ({ left, top, right, bottom, from, until }) => (right - left) * (bottom - top) * (until - from);

/**
 * @param {Suggested} one
 * @param {Suggested} other
 * @returns {Suggested}
 */
function joined(one, other) {
  const { left, top, right, bottom, from, until } = extentOf([one, other]);
  const kind = one.kind === other.kind ? one.kind : "area";
  return { kind, from_ms: from, until_ms: until, places: [[from, left, top, right - left, bottom - top]] };
}

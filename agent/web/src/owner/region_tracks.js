// Follows what an owner has drawn a cover on, as agent/clients/media/region_tracks.py does. Its documentation has the
// reasons, and tests/web/test_following.py compares both.
import { MOST_PLACES, WHOLE } from "../wire/redactions.js";
import { placeOf, simplified, widened } from "./face_tracks.js";

/** @import * as Wire from "../wire/generated.js" */
/** @import { Box, Known, Luma } from "./face_tracks.js" */
/** @typedef {[number, number]} Pair of both directions: to the right, and down */
/** @typedef {{ box: Box, unsure: number }} Found where a cover is; ms since its pattern was found, 0 if it is */
/** @typedef {{ box: Box, likeness: number, rival: number }} Best */
/** @typedef {{ box: Box, likeness: number, first: number }} Match `first`: likeness to the pattern as it was drawn */
/** @typedef {{ values: Float64Array, columns: number, rows: number, sum: number, spread: number }} Pattern */
/** @typedef {{ coarse: Pattern, fine: Pattern }} Appearance */
/** @typedef {{ places: Wire.Place[], unsure: [from: number, until: number][] }} Followed stretches: ms of the clip */

export const WIDEST_PX = 960;
const SAMPLE_MS = 45;
const MOST_PICTURES = 600;
const GRID = 12;
const MOST_POINTS = 60;
const LEAST_PX = 12;
const MOST_HALVINGS = 4;
const REACH = 12;
const REACH_GROWS = 6;
const MOST_REACH = 48;
const BACK_REACH = 6;
const BACK_STEPS = 2;
const LEAST_LIKENESS = 0.6;
const AGAIN_LIKENESS = 0.8;
const SURE_AGAIN = 0.7;
const LEAST_WITHIN = 0.6;
const FIRST_LIKENESS = 0.8;
const FRESH_LIKENESS = 0.9;
const LEAD = 0.05;
const FLAT = 3;
const SCALE = 1.03;
const SCALE_LEAD = 0.002;
const COAST_MS = 500;
const LOST_MS = 3000;
const MARGIN = 0.1;
const GROWTH_PER_S = 0.5;
const MOST_GROWTH = 1;
const TOLERANCES = [0.08, 0.16, 0.32, 0.64, 1.28];
const MOST_FOLLOWED = MOST_PLACES - 24;
const JOIN_MS = 300;
const FRACTIONS = 16;
const FACTOR = FRACTIONS * FRACTIONS;
const AROUND = [-1, 0, 1].flatMap((down) => [-1, 0, 1].flatMap((right) => (down || right ? [[down, right]] : [])));

/**
 * A picture of half the width and height: each pixel is the mean of four.
 *
 * @param {Luma} luma
 * @returns {Luma}
 */
export function halved({ data, rows, columns }) {
  const [down, across] = [rows >> 1, columns >> 1];
  const made = new Uint8Array(down * across);
  for (let y = 0, to = 0; y < down; y++)
    for (let x = 0, at = 2 * y * columns; x < across; x++, at += 2)
      made[to++] = (data[at] + data[at + 1] + data[at + columns] + data[at + columns + 1] + 2) >> 2;
  return { data: made, rows: down, columns: across };
}

/** Takes the films of a clip in `order`, and returns the places of one cover. */
export class RegionTracks {
  /** @type {number[]} */
  order = [];
  #hand;
  #from;
  #until;
  /** @type {number[]} */
  #begins = [0];
  #forwards = 0;
  #next = 0;
  /** @type {Follower | undefined} */
  #follower;
  /** @type {number[]} The moments since the pattern was found last, with that one first. */
  #way = [];
  /** @type {Map<number, Found>[]} */
  #found = [new Map(), new Map()];
  /** @type {Map<number, Wire.Place>} */
  #drawn = new Map();

  /**
   * @param {Wire.Place[]} hand the places that the owner set, in order of time
   * @param {number} from ms of the clip
   * @param {number} until
   * @param {number[]} lengths of its films, in ms
   */
  constructor(hand, from, until, lengths) {
    this.#hand = hand.filter(([at]) => from <= at && at <= until);
    this.#from = from;
    this.#until = until;
    for (const length of lengths) this.#begins.push(this.#begins[this.#begins.length - 1] + length);
    const [first, last] = [this.#hand[0], this.#hand[this.#hand.length - 1]].map(([at]) => this.#filmAt(at));
    for (let film = first; film <= this.#filmAt(until); film++) this.order.push(film);
    this.#forwards = this.order.length;
    for (let film = last; film >= this.#filmAt(from); film--) this.order.push(film);
  }

  /**
   * The pictures of the next film that are looked at.
   *
   * @param {number[]} times of all of its pictures in ms, in order
   */
  moments(times) {
    const film = this.order[this.#next];
    const [begin, end] = this.#begins.slice(film, film + 2);
    const length = end - begin;
    const isLast = film === this.#begins.length - 2;
    const there = times.filter(
      (at) => (at < length || (isLast && at === length)) && this.#from <= begin + at + 1 && begin + at <= this.#until,
    );
    if (!there.length) return [];
    const step = Math.max(SAMPLE_MS, Math.floor(length / MOST_PICTURES));
    const chosen = new Set([there[there.length - 1]]);
    let next = there[0];
    for (const at of there) {
      if (at < next) continue;
      chosen.add(at);
      next = at + step;
    }
    for (const place of this.#hand) {
      if (this.#filmAt(place[0]) !== film) continue;
      const shown = there.reduce((found, at) => (begin + at <= place[0] ? at : found), there[0]);
      chosen.add(shown);
      this.#drawn.set(begin + shown, place);
    }
    return [...chosen].sort((one, other) => one - other);
  }

  /**
   * Follows through the next film.
   *
   * @param {[at: number, luma: Luma][]} pictures those of `moments`
   */
  add(pictures) {
    const isForwards = this.#next < this.#forwards;
    const begin = this.#begins[this.order[this.#next++]];
    if (this.#next === this.#forwards + 1) {
      this.#follower = undefined; // the way back begins
      this.#way = [];
    }
    const found = this.#found[isForwards ? 0 : 1];
    for (const [within, luma] of isForwards ? pictures : [...pictures].reverse()) {
      const at = begin + within;
      const scene = new Scene(luma);
      const place = this.#drawn.get(at);
      if (place) {
        const box = boxOf(place);
        this.#follower = new Follower(scene, at, box);
        found.set(at, { box, unsure: 0 });
      } else if (this.#follower) found.set(at, this.#follower.follow(scene, at));
      else continue;
      this.#way.push(at);
      if (found.get(at)?.unsure) continue;
      bridge(found, this.#way);
      this.#way = [at];
    }
  }

  /** @returns {Followed} */
  finish() {
    const moments = [...new Set(this.#found.flatMap((way) => [...way.keys()]))].sort((one, other) => one - other);
    if (!moments.length) return { places: this.#hand, unsure: [[this.#from, this.#until]] };
    const found = moments.map((at) => ({ at, ...joined(this.#found.flatMap((way) => way.get(at) ?? [])) }));
    /** @type {Known[]} */
    let kept = [];
    for (const tolerance of TOLERANCES) {
      const known = found.map((each) => ({ at: each.at, unseen: 0, box: grown(each, tolerance) }));
      kept = simplified(widened(known), tolerance / (1 + 2 * (MARGIN + tolerance)));
      if (kept.length <= MOST_FOLLOWED) break;
      kept = [around(known)];
    }
    const within = (/** @type {number} */ at) => Math.min(Math.max(at, this.#from), this.#until);
    return { places: kept.map((each) => placeOf({ ...each, at: within(each.at) })), unsure: this.#unsure(found) };
  }

  /** @param {{ at: number, unsure: number }[]} found */
  #unsure(found) {
    /** @type {Followed["unsure"]} */
    const stretches = [];
    const [first, last] = [found[0].at, found[found.length - 1].at];
    for (const { at, unsure } of found) {
      if (!unsure) continue;
      const [begin, end] = [at === first ? this.#from : at, at === last ? this.#until : at];
      const before = stretches[stretches.length - 1];
      if (before && begin - before[1] <= JOIN_MS) before[1] = end;
      else stretches.push([begin, end]);
    }
    return stretches;
  }

  /** @param {number} at */
  #filmAt(at) {
    return this.#begins.slice(0, -1).reduce((found, begin, film) => (begin <= at ? film : found), 0);
  }
}

/** A picture and its halves. */
class Scene {
  #sizes;

  /** @param {Luma} luma */
  constructor(luma) {
    this.#sizes = [luma];
    this.columns = luma.columns;
    this.rows = luma.rows;
  }

  /**
   * The brightness at a grid of points, times 256. Beyond the rim it is as at the rim.
   *
   * @param {Pair} corner in pixels
   * @param {Pair} steps in pixels
   * @param {Pair} counts columns, rows
   */
  points([left, top], [across, down], [columns, rows]) {
    let halvings = 0;
    while (halvings < MOST_HALVINGS && Math.min(across, down) >= 2 << halvings) halvings++;
    const newest = () => this.#sizes[this.#sizes.length - 1];
    while (this.#sizes.length <= halvings && Math.min(newest().rows, newest().columns) > 1)
      this.#sizes.push(halved(newest()));
    halvings = Math.min(halvings, this.#sizes.length - 1);
    const { data, rows: pixelsDown, columns: pixels } = this.#sizes[halvings];
    const x = line(left, across, columns, 1 << halvings, pixels);
    const y = line(top, down, rows, 1 << halvings, pixelsDown);
    const made = new Float64Array(columns * rows);
    let to = 0;
    for (let row = 0; row < rows; row++) {
      const whole = y[row] >> 4;
      const below = y[row] & 15;
      const upper = whole * pixels;
      const lower = Math.min(whole + 1, pixelsDown - 1) * pixels;
      for (let column = 0; column < columns; column++) {
        const at = x[column] >> 4;
        const after = Math.min(at + 1, pixels - 1);
        const share = x[column] & 15;
        made[to++] =
          (data[upper + at] * (FRACTIONS - share) + data[upper + after] * share) * (FRACTIONS - below) +
          (data[lower + at] * (FRACTIONS - share) + data[lower + after] * share) * below;
      }
    }
    return { values: made, columns, rows };
  }
}

/**
 * The points of one side, in sixteenths of a pixel.
 *
 * @param {number} corner
 * @param {number} step
 * @param {number} count
 * @param {number} size of a pixel
 * @param {number} pixels
 */
function line(corner, step, count, size, pixels) {
  const made = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const at = Math.floor(((corner + (i + 0.5) * step) / size - 0.5) * FRACTIONS);
    made[i] = Math.min(Math.max(at, 0), (pixels - 1) * FRACTIONS);
  }
  return made;
}

/** Where the pattern was in a picture, and how fast it went, in shares of the picture for each ms. */
class Seen {
  /**
   * @param {number} at
   * @param {Box} box
   * @param {Pair} pace
   */
  constructor(at, box, pace) {
    this.at = at;
    this.box = box;
    this.pace = pace;
  }

  /**
   * Where it is if it goes on so for a while.
   *
   * @param {number} at
   */
  expected(at) {
    const passed = Math.min(Math.abs(at - this.at), COAST_MS);
    return moved(this.box, this.pace[0] * passed, this.pace[1] * passed);
  }
}

/** Follows one pattern in one direction of time. */
class Follower {
  #wider;
  #taller;
  #scene;
  /** @type {Pair} */
  #counts;
  /** @type {Seen} */
  #last;
  /** @type {Seen} */
  #sure;
  /** Pictures since the pattern was sure. */
  #misses = 0;
  #isLost = false;
  #first;
  #recent;

  /**
   * @param {Scene} scene
   * @param {number} at
   * @param {Box} drawn
   */
  constructor(scene, at, drawn) {
    const [width, height] = sizeIn(drawn, scene);
    this.#wider = Math.max(1, LEAST_PX / width);
    this.#taller = Math.max(1, LEAST_PX / height);
    const box = scaled(drawn, this.#wider, this.#taller);
    const sides = sizeIn(box, scene);
    const step = Math.sqrt(sides[0] * sides[1]) / GRID;
    const count = (/** @type {number} */ side) =>
      Math.min(MOST_POINTS, Math.max(Math.floor(GRID / 3), Math.floor(side / step + 0.5)));
    this.#counts = [count(sides[0]), count(sides[1])];
    this.#scene = scene;
    this.#last = new Seen(at, box, [0, 0]);
    this.#sure = this.#last;
    this.#first = this.#appearance(scene, box);
    this.#recent = this.#first;
  }

  /**
   * Where the cover is in the next picture.
   *
   * @param {Scene} scene
   * @param {number} at
   * @returns {Found}
   */
  follow(scene, at) {
    const again = this.#drawnAgain(scene, at);
    const match = again ?? this.#followed(scene, at);
    const isSure = match && (again || match.first >= (this.#misses ? SURE_AGAIN : LEAST_LIKENESS));
    if (match) this.#see(match, scene, at);
    else this.#isLost = true;
    const box = match?.box ?? hull(this.#last.box, this.#last.expected(at));
    if (isSure) {
      this.#sure = this.#last;
      this.#misses = 0;
      return { box: this.#asDrawn(box), unsure: 0 };
    }
    this.#misses++;
    return { box: this.#asDrawn(box), unsure: Math.max(1, Math.abs(at - this.#sure.at)) };
  }

  /**
   * @param {Match} match
   * @param {Scene} scene
   * @param {number} at
   */
  #see({ box, likeness }, scene, at) {
    const [[x, y], [oldX, oldY]] = [middle(box), middle(this.#last.box)];
    const passed = Math.abs(at - this.#last.at);
    this.#last = new Seen(at, box, [(x - oldX) / passed, (y - oldY) / passed]);
    this.#scene = scene;
    this.#isLost = false;
    if (likeness < FRESH_LIKENESS) this.#recent = this.#appearance(scene, box);
  }

  /**
   * Looks for the pattern as it was drawn, after it has been unsure: it may have been behind something that is in the
   * recent pattern now.
   *
   * @param {Scene} scene
   * @param {number} at
   */
  #drawnAgain(scene, at) {
    if (!this.#misses || Math.abs(at - this.#sure.at) > LOST_MS) return undefined;
    const reach = Math.min(MOST_REACH, REACH + REACH_GROWS * this.#misses);
    const match = this.#find(this.#first, scene, this.#sure.expected(at), reach);
    return match && match.first >= AGAIN_LIKENESS ? match : undefined;
  }

  /**
   * Looks for the recent pattern where it would have gone on to.
   *
   * @param {Scene} scene
   * @param {number} at
   */
  #followed(scene, at) {
    if (Math.abs(at - this.#last.at) > LOST_MS) return undefined;
    const match = this.#find(this.#recent, scene, this.#last.expected(at), REACH);
    const least = this.#isLost ? AGAIN_LIKENESS : LEAST_LIKENESS;
    if (!match || Math.max(match.likeness, match.first) < least) return undefined;
    return this.#leadsBack(scene, match.box) ? match : undefined;
  }

  /**
   * The place that looks most so; undefined if another place looks the same, or if it is beyond the rim.
   *
   * @param {Appearance} appearance
   * @param {Scene} scene
   * @param {Box} expected
   * @param {number} reach
   * @returns {Match | undefined}
   */
  #find(appearance, scene, expected, reach) {
    if (isFlat(this.#first.coarse)) return undefined;
    const rough = this.#search(scene, appearance.coarse, expected, reach);
    let { box, likeness } = this.#refine(scene, appearance.fine, rough.box);
    let first = likeness;
    if (appearance !== this.#first) {
      const drawn = this.#refine(scene, this.#first.fine, box);
      first = drawn.likeness;
      if (first >= FIRST_LIKENESS) box = drawn.box;
    }
    if (rough.rival > rough.likeness - LEAD || shareWithin(box) < LEAST_WITHIN) return undefined;
    return { box, likeness, first };
  }

  /**
   * True if what was found is found in the picture before, where the pattern was.
   *
   * @param {Scene} scene
   * @param {Box} box
   */
  #leadsBack(scene, box) {
    const pattern = this.#appearance(scene, box).coarse;
    const { box: back } = this.#search(this.#scene, pattern, this.#last.box, BACK_REACH);
    const [left, top, right, bottom] = this.#last.box;
    const across = (Math.abs(back[0] - left) / (right - left)) * this.#counts[0];
    const down = (Math.abs(back[1] - top) / (bottom - top)) * this.#counts[1];
    return Math.max(across, down) < BACK_STEPS + 0.5;
  }

  /**
   * The place that is most like the pattern, and how like any place apart from it is at most.
   *
   * @param {Scene} scene
   * @param {Pattern} pattern
   * @param {Box} expected
   * @param {number} reach
   * @returns {Best}
   */
  #search(scene, pattern, expected, reach) {
    const [width, height] = sizeIn(expected, scene);
    const [columns, rows] = this.#counts;
    const [across, down] = [width / columns, height / rows];
    const area = scene.points(
      [expected[0] * scene.columns - reach * across, expected[1] * scene.rows - reach * down],
      [across, down],
      [columns + 2 * reach, rows + 2 * reach],
    );
    const side = 2 * reach + 1;
    const found = new Float64Array(side * side);
    let best = 0;
    for (let i = 0; i < found.length; i++) {
      found[i] = likenessIn(pattern, area, i % side, Math.floor(i / side));
      if (found[i] > found[best]) best = i;
    }
    const [column, row] = [best % side, Math.floor(best / side)];
    const near = [(columns + 1) >> 1, (rows + 1) >> 1];
    let rival = -1;
    for (let i = 0; i < found.length; i++) {
      const isNear = Math.abs((i % side) - column) <= near[0] && Math.abs(Math.floor(i / side) - row) <= near[1];
      if (!isNear && found[i] > rival) rival = found[i];
    }
    const [right, below] = [((column - reach) * across) / scene.columns, ((row - reach) * down) / scene.rows];
    return { box: moved(expected, right, below), likeness: found[best], rival };
  }

  /**
   * The place near `box` that is most like the pattern, in parts of its points and at other sizes.
   *
   * @param {Scene} scene
   * @param {Pattern} pattern
   * @param {Box} box
   */
  #refine(scene, pattern, box) {
    /** @param {Box} at */
    const likenessAt = (at) => likenessIn(pattern, this.#points(scene, at, 2), 0, 0);
    let best = { box, likeness: likenessAt(box) };
    const [width, height] = [box[2] - box[0], box[3] - box[1]];
    for (const parts of [2, 4]) {
      const from = best.box;
      for (const [down, right] of AROUND) {
        const other = moved(from, (right * width) / this.#counts[0] / parts, (down * height) / this.#counts[1] / parts);
        const likeness = likenessAt(other);
        if (likeness > best.likeness) best = { box: other, likeness };
      }
    }
    const from = best.box;
    let least = best.likeness + SCALE_LEAD;
    for (const scale of [SCALE, 1 / SCALE]) {
      const other = scaled(from, scale, scale);
      const likeness = likenessAt(other);
      if (likeness <= least) continue;
      best = { box: other, likeness };
      least = likeness;
    }
    return best;
  }

  /**
   * @param {Scene} scene
   * @param {Box} box
   * @returns {Appearance}
   */
  #appearance(scene, box) {
    return { coarse: patternOf(this.#points(scene, box, 1)), fine: patternOf(this.#points(scene, box, 2)) };
  }

  /**
   * @param {Scene} scene
   * @param {Box} box
   * @param {number} finer
   */
  #points(scene, box, finer) {
    const [width, height] = sizeIn(box, scene);
    const [columns, rows] = [this.#counts[0] * finer, this.#counts[1] * finer];
    return scene.points(
      [box[0] * scene.columns, box[1] * scene.rows],
      [width / columns, height / rows],
      [columns, rows],
    );
  }

  /** @param {Box} box */
  #asDrawn(box) {
    return scaled(box, 1 / this.#wider, 1 / this.#taller);
  }
}

/**
 * @param {{ values: Float64Array, columns: number, rows: number }} points
 * @returns {Pattern}
 */
function patternOf({ values, columns, rows }) {
  let [sum, squares] = [0, 0];
  for (const each of values) {
    sum += each;
    squares += each * each;
  }
  return { values, columns, rows, sum, spread: values.length * squares - sum * sum };
}

/** @param {Pattern} pattern */
const isFlat = ({ values, spread }) => Math.sqrt(spread) / (values.length * FACTOR) < FLAT;

/**
 * The correlation with the part of a larger area that begins at a column and a row.
 *
 * @param {Pattern} pattern
 * @param {{ values: Float64Array, columns: number }} area
 * @param {number} left
 * @param {number} top
 */
function likenessIn({ values, columns, rows, sum, spread }, { values: area, columns: wide }, left, top) {
  let [sums, squares, both] = [0, 0, 0];
  for (let row = 0, i = 0; row < rows; row++) {
    const end = (top + row) * wide + left + columns;
    for (let at = end - columns; at < end; at++, i++) {
      const each = area[at];
      sums += each;
      squares += each * each;
      both += each * values[i];
    }
  }
  const norm = Math.sqrt(spread * (values.length * squares - sums * sums));
  return norm > 0 ? (values.length * both - sum * sums) / norm : 0;
}

/**
 * Lets the cover also go straight on between two moments in which the pattern was found: the ends of `way`.
 *
 * @param {Map<number, Found>} found
 * @param {number[]} way
 */
function bridge(found, way) {
  const [first, last] = [way[0], way[way.length - 1]];
  const [begin, end] = [first, last].map((at) => /** @type {Found} */ (found.get(at)).box);
  for (const at of way.slice(1, -1)) {
    const { box, unsure } = /** @type {Found} */ (found.get(at));
    const share = (at - first) / (last - first);
    const between = /** @type {Box} */ (begin.map((one, side) => one + (end[side] - one) * share));
    found.set(at, { box: hull(box, between), unsure: Math.min(unsure, Math.abs(last - at)) });
  }
}

/**
 * Where a cover is that was followed to this moment from one side or from both.
 *
 * @param {Found[]} sides
 * @returns {Found}
 */
function joined([one, other]) {
  if (!other) return one;
  if (Boolean(one.unsure) !== Boolean(other.unsure)) return one.unsure ? other : one;
  const unsure = Math.min(one.unsure, other.unsure) || Number(areApart(one.box, other.box));
  return { box: hull(one.box, other.box), unsure };
}

/**
 * True if the middle of one box is outside of the other.
 *
 * @param {Box} one
 * @param {Box} other
 */
function areApart(one, other) {
  const [[x, y], [otherX, otherY]] = [middle(one), middle(other)];
  const width = Math.min(one[2] - one[0], other[2] - other[0]);
  const height = Math.min(one[3] - one[1], other[3] - other[1]);
  return Math.abs(x - otherX) > width / 2 || Math.abs(y - otherY) > height / 2;
}

/**
 * @param {Found} found
 * @param {number} tolerance
 * @returns {Box}
 */
function grown({ box: [left, top, right, bottom], unsure }, tolerance) {
  const share = MARGIN + tolerance + Math.min(MOST_GROWTH, (GROWTH_PER_S * unsure) / 1000);
  const [across, down] = [(right - left) * share, (bottom - top) * share];
  return [left - across, top - down, right + across, bottom + down];
}

/**
 * One place for all of the time.
 *
 * @param {Known[]} known
 * @returns {Known}
 */
const around = (known) => ({ at: known[0].at, unseen: 0, box: known.map(({ box }) => box).reduce(hull) });

/**
 * @param {Wire.Place} place
 * @returns {Box}
 */
const boxOf = ([, left, top, width, height]) => [
  left / WHOLE,
  top / WHOLE,
  (left + width) / WHOLE,
  (top + height) / WHOLE,
];

/**
 * Width and height in pixels.
 *
 * @param {Box} box
 * @param {Scene} scene
 * @returns {Pair}
 */
const sizeIn = (box, { columns, rows }) => [(box[2] - box[0]) * columns, (box[3] - box[1]) * rows];

/** @param {Box} box */
const middle = ([left, top, right, bottom]) => [(left + right) / 2, (top + bottom) / 2];

/**
 * @param {Box} box
 * @param {number} right
 * @param {number} down
 * @returns {Box}
 */
const moved = (box, right, down) => [box[0] + right, box[1] + down, box[2] + right, box[3] + down];

/** @param {Box} box */
function shareWithin([left, top, right, bottom]) {
  const [width, height] = [Math.min(1, right) - Math.max(0, left), Math.min(1, bottom) - Math.max(0, top)];
  return (Math.max(0, width) * Math.max(0, height)) / ((right - left) * (bottom - top));
}

/**
 * The box, that much wider and taller, with the same middle.
 *
 * @param {Box} box
 * @param {number} across
 * @param {number} down
 * @returns {Box}
 */
function scaled(box, across, down) {
  const [x, y] = middle(box);
  const [width, height] = [((box[2] - box[0]) * across) / 2, ((box[3] - box[1]) * down) / 2];
  return [x - width, y - height, x + width, y + height];
}

/**
 * @param {Box} one
 * @param {Box} other
 * @returns {Box}
 */
const hull = (one, other) => [
  Math.min(one[0], other[0]),
  Math.min(one[1], other[1]),
  Math.max(one[2], other[2]),
  Math.max(one[3], other[3]),
];

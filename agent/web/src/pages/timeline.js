// Events at the door, as stills by day, newest first. Only the visible rows exist in the document, so years stay
// smooth.
import { watch, zonesOf } from "../media/zone_preview.js";
import { ask } from "../ui/client.js";
import { closedGaps, dayAfter } from "../ui/days.js";
import { h, ICONS, icon } from "../ui/dom.js";
import { everything, what } from "../ui/happened.js";
import { labelsOf, lookAt, onLabels, poster } from "../ui/posters.js";
import { ringsAlone } from "../ui/rings.js";
import { clock, clocks, date, dateAndClock, isOneDay, length, minutes, t } from "../ui/texts.js";
import { LABELS } from "../wire/labels.js";
import { Finder } from "./finder.js";

/** @import { Answer, Zone } from "../types.js" */
/** @import { Found } from "../ui/happened.js" */

/** @typedef {{ top: number, height: number, tiles?: Answer[], gap?: Answer, ring?: number, day?: number }} Row */

const TILE_PX = 176;
const GAP_PX = 8;
const HEAD_PX = 56;
const LINE_PX = 44;
const CAPTION_PX = 72;
const SPARE_PX = 600;
const REFRESH_MS = 15_000;
const REDRAW_MS = 400;
const AT_ONCE = 3;
const ZONE = "zone ";
const MOST_WATCHED = 60;

/** @param {HTMLElement} content */
export async function timeline(content) {
  // The heading stands before the answers come: it says that the page is the one that was asked for.
  const parts = {
    chips: h("div.chips", { role: "group", "aria-label": t("timeline.filter") }),
    searched: h("p.quiet", { role: "status" }),
    list: h("div.rows", { role: "list", "aria-label": t("timeline.title") }),
  };
  content.append(h("h1", t("timeline.title")), parts.chips, parts.searched, parts.list);
  const [found, facts] = await Promise.all([everything(), ask("page_facts")]);
  return new Timeline(content, parts, found, facts).start();
}

class Timeline {
  #content;
  #found;
  #facts;
  #watched;
  /** The filter: a kind of event, what was seen, or a zone; empty for everything. */
  #kind;
  /** @type {Row[]} */
  #rows;
  /** @type {number | null} The beginning of the only day that is listed; null for all days. */
  #day = null;
  #finder;
  /** The rows that exist as elements, by number. */
  #drawn;
  #chips;
  #list;
  #searched;

  /**
   * @param {HTMLElement} content
   * @param {Record<"chips" | "searched" | "list", HTMLElement>} parts
   * @param {Found} found
   * @param {Answer} facts
   */
  constructor(content, parts, found, facts) {
    this.#content = content;
    this.#found = found;
    this.#facts = facts;
    this.#watched = facts.zones.filter((/** @type {Zone} */ zone) => zone.kind === "include");
    this.#kind = "";
    this.#rows = [];
    this.#drawn = new Map();
    this.#chips = parts.chips;
    this.#list = parts.list;
    this.#searched = parts.searched;
    this.#finder = new Finder((day) => this.#showDay(day), tile);
    this.#list.before(this.#finder.element);
  }

  /** Shows the list and keeps it up to date.  Returns how to end that. */
  start() {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let redraw;
    const unheard = onLabels((_id, labels) => {
      if (!labels) return;
      // Stills open by the dozen: one drawing for all of them.
      clearTimeout(redraw);
      redraw = setTimeout(() => this.#show(isSight(this.#kind)), REDRAW_MS);
    });
    const resized = new ResizeObserver(() => this.#layout());
    const draw = () => this.#draw();
    this.#choose();
    resized.observe(this.#list);
    addEventListener("scroll", draw, { passive: true });
    const timer = setInterval(() => this.#refresh(), REFRESH_MS);
    return () => {
      clearInterval(timer);
      clearTimeout(redraw);
      unheard();
      resized.disconnect();
      removeEventListener("scroll", draw);
    };
  }

  async #refresh() {
    const now = await everything().catch(() => this.#found);
    if (now.mark === this.#found.mark) return;
    this.#found = now;
    this.#show(true);
  }

  /** @param {number | null} day */
  #showDay(day) {
    this.#day = day;
    this.#layout();
  }

  /** @param {boolean} isLaidOut */
  #show(isLaidOut) {
    this.#choose();
    if (isLaidOut) this.#layout();
  }

  /** Offers the filters that pass something. */
  #choose() {
    const { events } = this.#found;
    const zones = events.length ? this.#watched.map((/** @type {Zone} */ zone) => ZONE + zone.name) : [];
    const people = events.some((event) => labelsOf(event.poster)) ? ["person"] : [];
    const kinds = [...new Set([...events.flatMap(kindsOf), ...people])];
    this.#chips.replaceChildren(...["", ...kinds.sort(), ...zones].map((kind) => this.#chip(kind)));
    this.#chips.hidden = kinds.length + zones.length < 2;
    this.#finder.update(
      this.#found,
      events.filter((event) => passes(event, this.#kind)),
    );
  }

  /** @param {string} kind */
  #chip(kind) {
    const choose = () => {
      this.#kind = kind;
      this.#show(true);
      void this.#search();
    };
    const isPressed = String(kind === this.#kind);
    return h("button.chip", { type: "button", "aria-pressed": isPressed, onclick: choose }, nameOf(kind));
  }

  #layout() {
    const column = this.#list.clientWidth + GAP_PX;
    const columns = Math.max(2, Math.floor(column / (TILE_PX + GAP_PX)));
    const tile = Math.round(((column / columns - GAP_PX) * 3) / 4) + CAPTION_PX;
    this.#rows = rowsOf(ofDay(this.#found, this.#day), this.#kind, columns, tile);
    const last = this.#rows.at(-1);
    // Rows out of sight are no elements, so nothing else gives the scroll bar its length.
    this.#list.style.height = `${last ? last.top + last.height : 0}px`;
    this.#list.style.setProperty("--columns", String(columns));
    for (const element of this.#drawn.values()) element.remove();
    this.#drawn = new Map();
    this.#draw();
    this.#content.querySelector(".empty")?.remove();
    if (!this.#rows.some((row) => row.tiles || row.gap || row.ring)) this.#content.append(empty(this.#kind));
  }

  /** Makes the rows in sight, and takes away those that are far off. */
  #draw() {
    const top = -this.#list.getBoundingClientRect().top - SPARE_PX;
    const bottom = top + innerHeight + 2 * SPARE_PX;
    const wanted = new Set();
    for (let at = firstBelow(this.#rows, top); at < this.#rows.length && this.#rows[at].top < bottom; at++) {
      wanted.add(at);
      if (!this.#drawn.has(at)) this.#insert(at);
    }
    for (const [number, element] of this.#drawn) {
      // The row with the focus stays: removing it would throw a keyboard user out of the list.
      if (wanted.has(number) || element.contains(document.activeElement)) continue;
      element.remove();
      this.#drawn.delete(number);
    }
  }

  /** @param {number} at */
  #insert(at) {
    const row = this.#rows[at];
    const element = rowElement(row);
    element.style.transform = `translateY(${row.top}px)`;
    element.style.height = `${row.height}px`;
    // In the order of the page, for those who hear it and those who tab through it.
    const [after] = [...this.#drawn.entries()].filter(([number]) => number > at).sort(([a], [b]) => a - b);
    this.#list.insertBefore(element, after?.[1] ?? null);
    this.#drawn.set(at, element);
  }

  /** Labels are sealed in an event's still, so a filter opens the stills here, newest first. */
  async #search() {
    const wanted = this.#kind;
    this.#searched.textContent = "";
    if (wanted.startsWith(ZONE)) return this.#searchZones(wanted);
    if (!isSight(wanted)) return;
    const stills = this.#found.events.map((event) => event.poster).filter((id) => labelsOf(id) === undefined);
    const total = this.#found.events.length;
    const one = async () => {
      while (stills.length && this.#isWanted(wanted)) {
        await lookAt(stills.shift());
        this.#tell(stills.length, total);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  }

  /**
   * Which zone it was, only a film tells: the newest are watched here, many times as fast as they were.
   *
   * @param {string} wanted
   */
  async #searchZones(wanted) {
    const waiting = this.#found.events.slice(0, MOST_WATCHED);
    const total = waiting.length;
    while (waiting.length && this.#isWanted(wanted)) {
      const event = waiting.shift();
      if (zonesOf(event)) continue;
      const { zones, sensitivity, smallest_person: smallestPerson } = this.#facts;
      await watch(event, zones, sensitivity, smallestPerson).catch(() => {});
      this.#tell(waiting.length, total);
      if (this.#kind === wanted) this.#layout();
    }
  }

  /**
   * True while the owner still filters by that kind, on this page.
   *
   * @param {string} kind
   */
  #isWanted(kind) {
    return this.#kind === kind && this.#content.isConnected;
  }

  /**
   * @param {number} left
   * @param {number} total
   */
  #tell(left, total) {
    this.#searched.textContent = left ? t("timeline.searched", { done: total - left, total }) : "";
  }
}

/** @param {string} kind */
const empty = (kind) =>
  kind
    ? h("div.empty", h("p", t("timeline.none.kind")))
    : h("div.empty", h("p", t("timeline.none")), h("p.quiet", t("timeline.none.text")));

/** @param {string} kind */
const isSight = (kind) => LABELS.some((each) => each === kind);

/**
 * The filters an event passes.
 *
 * @param {Answer} event
 */
const kindsOf = (event) => [event.kind || "motion", ...(event.kept ? ["kept"] : []), ...(labelsOf(event.poster) ?? [])];

/**
 * @param {Answer} event
 * @param {string} kind
 */
const passes = (event, kind) =>
  !kind ||
  kindsOf(event).includes(kind) ||
  (kind.startsWith(ZONE) && (zonesOf(event) ?? []).includes(kind.slice(ZONE.length)));

/** @param {string} kind */
function nameOf(kind) {
  if (!kind) return t("timeline.all");
  return kind.startsWith(ZONE) ? t("timeline.zone", { name: kind.slice(ZONE.length) }) : t(`event.${kind}`);
}

/**
 * Events that begin on the day that begins then, and gaps of which some lies in it; null for all days.
 *
 * @param {Found} found
 * @param {number | null} day
 * @returns {Found}
 */
function ofDay(found, day) {
  if (day === null) return found;
  const end = dayAfter(day, 1);
  const closed = closedGaps(found, Date.now());
  return {
    ...found,
    events: found.events.filter((event) => event.start_ms >= day && event.start_ms < end),
    gaps: found.gaps.filter((_, i) => closed[i].at < end && (closed[i].to > day || closed[i].at >= day)),
    rings: found.rings.filter((at) => at >= day && at < end),
  };
}

/**
 * Rows of the list: a day's head, gaps, and events side by side.
 *
 * @param {Found} found
 * @param {string} kind
 * @param {number} columns
 * @param {number} tile
 * @returns {Row[]}
 */
function rowsOf(found, kind, columns, tile) {
  const { events, gaps } = found;
  /** @type {Row[]} */
  const rows = [];
  let top = 0;
  /**
   * @param {object} row
   * @param {number} height
   */
  const add = (row, height) => {
    rows.push({ ...row, top, height });
    top += height;
  };
  /** @type {{ at: number, event?: Answer, gap?: Answer, ring?: number }[]} */
  const items = [
    ...events.filter((event) => passes(event, kind)).map((event) => ({ at: event.start_ms, event })),
    ...gaps.map((gap) => ({ at: gap.start_ms, gap })),
    ...ringsAlone(found).map((ring) => ({ at: ring, ring })),
  ].sort((a, b) => b.at - a.at);
  let day = "";
  /** @type {Answer[]} */
  let tiles = [];
  const flush = () => {
    for (let i = 0; i < tiles.length; i += columns) add({ tiles: tiles.slice(i, i + columns) }, tile + GAP_PX);
    tiles = [];
  };
  for (const item of items) {
    const itsDay = new Date(item.at).toDateString();
    if (itsDay !== day) {
      flush();
      day = itsDay;
      add({ day: item.at }, HEAD_PX);
    }
    if (item.event) {
      tiles.push(item.event);
    } else {
      flush();
      add({ gap: item.gap, ring: item.ring }, LINE_PX);
    }
  }
  flush();
  return rows;
}

/**
 * @param {Row[]} rows
 * @param {number} y
 */
function firstBelow(rows, y) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].top + rows[middle].height < y) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param {Row} row */
function rowElement(row) {
  if (row.day) return h("div.line.day", { role: "listitem" }, h("h2", date(row.day)));
  if (row.ring !== undefined)
    return h("div.line.gap", { role: "listitem" }, h("p", t("timeline.ring", { time: clock(row.ring) })));
  if (row.gap) {
    const { start_ms: from, end_ms: to, reason } = row.gap;
    const [begins, ends] = isOneDay(from, to) ? clocks(from, to) : [clock(from), dateAndClock(to)];
    return h(
      "div.line.gap",
      { role: "listitem" },
      h(
        "p",
        from === to
          ? t("timeline.gap.open", { from: clock(from), reason: t(`gap.${reason}`) })
          : t("timeline.gap", { from: begins, to: ends, reason: t(`gap.${reason}`) }),
      ),
    );
  }
  return h("div.line.tiles", { role: "listitem" }, row.tiles?.map(tile));
}

/** @param {Answer} event */
function tile(event) {
  const lasted = event.end_ms - event.start_ms;
  return h(
    "a.tile",
    { href: `/timeline/${event.event}` },
    poster(event.poster, ""),
    event.kept && h("span.pin", icon(...ICONS.pin), h("span.hidden", t("event.kept"))),
    h(
      "span.caption",
      h("b", clock(event.start_ms)),
      h("span.quiet", { "aria-hidden": "true" }, minutes(lasted)),
      what(event),
      h("span.hidden", length(lasted)),
    ),
  );
}

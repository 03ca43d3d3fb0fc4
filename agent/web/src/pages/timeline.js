// What happened at the door, as stills by day, newest first.  Only the rows in sight exist, so years stay smooth.
import { watch, zonesOf } from "../media/where.js";
import { ask } from "../ui/client.js";
import { h, icon, ICONS } from "../ui/dom.js";
import { lookAt, poster, sightsOf, whenSeen } from "../ui/posters.js";
import { clock, date, dateAndClock, isOneDay, length, minutes, t } from "../ui/texts.js";
import { SIGHTS } from "../wire/sights.js";

const TILE_PX = 176;
const GAP_PX = 8;
const HEAD_PX = 56;
const LINE_PX = 44;
const CAPTION_PX = 72;
const SPARE_PX = 600;
const EVERYTHING_MS = Number.MAX_SAFE_INTEGER;
const REFRESH_MS = 15_000;
const REDRAW_MS = 400;
const AT_ONCE = 3;
const ZONE = "zone ";
const MOST_WATCHED = 60;

export async function timeline(content) {
  const chips = h("div.chips", { role: "group", "aria-label": t("timeline.filter") });
  const list = h("div.rows", { role: "list", "aria-label": t("timeline.title") });
  const searched = h("p.quiet", { role: "status" });
  content.append(h("h1", t("timeline.title")), chips, searched, list);
  const [first, facts] = await Promise.all([everything(), ask("page_facts")]);
  const watched = facts.zones.filter((zone) => zone.kind === "include");
  let found = first;
  let kind = "";
  let rows = [];
  let drawn = new Map();

  function choose() {
    const zones = found.events.length ? watched.map((zone) => ZONE + zone.name) : [];
    const kinds = [...new Set([...found.events.flatMap(kindsOf), ...(found.events.some((event) => sightsOf(event.poster)) ? ["person"] : [])])];
    chips.replaceChildren(
      ...["", ...kinds.sort(), ...zones].map((each) =>
        h("button.chip", { type: "button", "aria-pressed": String(each === kind), onclick: () => ((kind = each), choose(), layout(), search()) }, nameOf(each)),
      ),
    );
    chips.hidden = kinds.length + zones.length < 2;
  }

  function layout() {
    const columns = Math.max(2, Math.floor((list.clientWidth + GAP_PX) / (TILE_PX + GAP_PX)));
    const tile = Math.round((((list.clientWidth + GAP_PX) / columns - GAP_PX) * 3) / 4) + CAPTION_PX;
    rows = rowsOf(found, kind, columns, tile);
    list.style.height = `${rows.length ? rows.at(-1).top + rows.at(-1).height : 0}px`;
    list.style.setProperty("--columns", String(columns));
    for (const element of drawn.values()) element.remove();
    drawn = new Map();
    draw();
    content.querySelector(".empty")?.remove();
    if (!rows.some((row) => row.tiles || row.gap)) content.append(kind ? h("div.empty", h("p", t("timeline.none.kind"))) : h("div.empty", h("p", t("timeline.none")), h("p.quiet", t("timeline.none.text"))));
  }

  function draw() {
    const top = -list.getBoundingClientRect().top - SPARE_PX;
    const bottom = top + innerHeight + 2 * SPARE_PX;
    let at = firstBelow(rows, top);
    const wanted = new Set();
    for (; at < rows.length && rows[at].top < bottom; at++) {
      wanted.add(at);
      if (drawn.has(at)) continue;
      const element = rowElement(rows[at]);
      element.style.transform = `translateY(${rows[at].top}px)`;
      element.style.height = `${rows[at].height}px`;
      // In the order of the page, for those who hear it and those who tab through it.
      const after = [...drawn.entries()].filter(([number]) => number > at).sort(([a], [b]) => a - b)[0];
      list.insertBefore(element, after?.[1] ?? null);
      drawn.set(at, element);
    }
    for (const [number, element] of drawn) {
      if (wanted.has(number) || element.contains(document.activeElement)) continue;
      element.remove();
      drawn.delete(number);
    }
  }

  // What an event shows is sealed in its still, so whoever asks for people has the stills opened here, newest first.
  async function search() {
    const wanted = kind;
    searched.textContent = "";
    if (wanted.startsWith(ZONE)) return searchZones(wanted);
    if (!SIGHTS.includes(wanted)) return;
    const stills = found.events.map((event) => event.poster).filter((id) => sightsOf(id) === undefined);
    const total = found.events.length;
    const one = async () => {
      while (stills.length && kind === wanted && content.isConnected) {
        await lookAt(stills.shift());
        searched.textContent = stills.length ? t("timeline.searched", { done: total - stills.length, total }) : "";
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  }

  // Which zone it was, only a film tells: the newest are watched here, many times as fast as they were.
  async function searchZones(wanted) {
    const waiting = found.events.slice(0, MOST_WATCHED);
    const total = waiting.length;
    while (waiting.length && kind === wanted && content.isConnected) {
      const event = waiting.shift();
      if (zonesOf(event)) continue;
      await watch(event, facts.zones, facts.sensitivity).catch(() => {});
      searched.textContent = waiting.length ? t("timeline.searched", { done: total - waiting.length, total }) : "";
      if (kind === wanted) layout();
    }
  }

  let redraw;
  const unheard = whenSeen((id, sights) => {
    for (const what of list.querySelectorAll(`[data-still="${id}"]`)) what.textContent = wordsOf(what.dataset.kind, sights);
    if (!sights) return;
    clearTimeout(redraw);
    redraw = setTimeout(() => (choose(), SIGHTS.includes(kind) && layout()), REDRAW_MS);
  });
  const resized = new ResizeObserver(layout);
  choose();
  resized.observe(list);
  addEventListener("scroll", draw, { passive: true });
  const timer = setInterval(async () => {
    const now = await everything().catch(() => found);
    if (now.mark === found.mark) return;
    found = now;
    choose();
    layout();
  }, REFRESH_MS);
  return () => {
    clearInterval(timer);
    clearTimeout(redraw);
    unheard();
    resized.disconnect();
    removeEventListener("scroll", draw);
  };
}

/** All events with what owners keep of them; those an owner has just deleted are out already. */
async function everything() {
  const [{ events, gaps }, { held, going }] = await Promise.all([ask("events", { from_ms: 0, to_ms: EVERYTHING_MS }), ask("kept")]);
  const gone = new Set(going);
  const shown = events.map((event) => ({ ...event, segments: event.segments.filter((id) => !gone.has(id)) })).filter((event) => event.segments.length);
  for (const event of shown) event.kept = event.segments.some((id) => id in held);
  const mark = `${shown.length} ${shown[0]?.end_ms} ${gaps.length} ${gaps[0]?.end_ms} ${Object.keys(held).length}`;
  return { events: shown, gaps, mark };
}

/** The filters an event passes. */
const kindsOf = (event) => [event.kind || "motion", ...(event.kept ? ["kept"] : []), ...(sightsOf(event.poster) ?? [])];

const passes = (event, kind) => !kind || kindsOf(event).includes(kind) || (kind.startsWith(ZONE) && (zonesOf(event) ?? []).includes(kind.slice(ZONE.length)));

const nameOf = (kind) => (!kind ? t("timeline.all") : kind.startsWith(ZONE) ? t("timeline.zone", { name: kind.slice(ZONE.length) }) : t(`event.${kind}`));

/** What happened, and what a second opinion saw; motion alone is not worth saying beside that. */
const wordsOf = (kind, sights) => [...(kind === "motion" && sights?.length ? [] : [kind]), ...(sights ?? [])].map((each) => t(`event.${each}`)).join(", ");

/** Rows of the list: a day's head, gaps, and events side by side. */
function rowsOf({ events, gaps }, kind, columns, tile) {
  const rows = [];
  let top = 0;
  const add = (row, height) => {
    rows.push({ ...row, top, height });
    top += height;
  };
  const items = [
    ...events.filter((event) => passes(event, kind)).map((event) => ({ at: event.start_ms, event })),
    ...gaps.map((gap) => ({ at: gap.start_ms, gap })),
  ].sort((a, b) => b.at - a.at);
  let day = "";
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
      add({ gap: item.gap }, LINE_PX);
    }
  }
  flush();
  return rows;
}

function firstBelow(rows, y) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].top + rows[middle].height < y) low = middle + 1;
    else high = middle;
  }
  return low;
}

function rowElement(row) {
  if (row.day) return h("div.line.day", { role: "listitem" }, h("h2", date(row.day)));
  if (row.gap) {
    const { start_ms: from, end_ms: to, reason } = row.gap;
    const end = isOneDay(from, to) ? clock(to) : dateAndClock(to);
    return h("div.line.gap", { role: "listitem" }, h("p", t(from === to ? "timeline.gap.open" : "timeline.gap", { from: clock(from), to: end, reason: t(`gap.${reason}`) })));
  }
  return h("div.line.tiles", { role: "listitem" }, row.tiles.map(tile));
}

function tile(event) {
  const kind = event.kind || "motion";
  const what = h("span.what", { "data-still": event.poster ?? "", "data-kind": kind }, wordsOf(kind, sightsOf(event.poster)));
  const lasted = event.end_ms - event.start_ms;
  return h(
    "a.tile",
    { href: `/timeline/${event.event}` },
    poster(event.poster, ""),
    event.kept && h("span.pin", icon(...ICONS.pin), h("span.hidden", t("event.kept"))),
    h("span.caption", h("b", clock(event.start_ms)), h("span.quiet", { "aria-hidden": "true" }, minutes(lasted)), what, h("span.hidden", length(lasted))),
  );
}

// Finding an event by its day and time: a calendar that marks the days with events, and a slider over one day that
// shows events and time without footage.
import { closedGaps, dayAfter, dayOf, eventAt } from "../ui/days.js";
import { h, svg } from "../ui/dom.js";
import { wordsOf } from "../ui/happened.js";
import { ringsAlone } from "../ui/rings.js";
import { arrows, clock, clocks, date, dateAndClock, isOneDay, listed, month, t, weekday } from "../ui/texts.js";

/** @import { Answer } from "../types.js" */
/** @import { Gap } from "../ui/days.js" */
/** @import { Found } from "../ui/happened.js" */

/** @typedef {{ events: number, gaps: number, rings: number }} Count */

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
/** A thinner mark would be lost on a phone. */
const LEAST_MARK_MS = 4 * MINUTE_MS;
const HOURS = [0, 6, 12, 18, 24];
const MONDAY = new Date(2024, 0, 1);

export class Finder {
  #choose;
  #tile;
  /** @type {Answer[]} */
  #events = [];
  /** @type {Gap[]} */
  #gaps = [];
  /** @type {number[]} */
  #rings = [];
  /** @type {Map<number, Count>} */
  #days = new Map();
  #day = dayOf(Date.now());
  #month = this.#day;
  #isOneDay = false;
  #drawn = "";

  #earlier = h("button.small", { type: "button", onclick: () => this.#step(-1) }, arrows()[0]);
  #later = h("button.small", { type: "button", onclick: () => this.#step(1) }, arrows()[1]);
  #title = h("button.small.when", { type: "button", "aria-expanded": "false", onclick: () => this.#toggle() });
  #all = h("button.small", { type: "button", hidden: true, onclick: () => this.#showAll() });
  #calendar = h("div.calendar.card", { hidden: true });
  #bar = svg("svg", { class: "bar", preserveAspectRatio: "none", "aria-hidden": "true" });
  #hours = h("div.hours-of-day", { "aria-hidden": "true" });
  #range = h("input", { type: "range", min: "0", step: "1", oninput: () => this.#look() });
  #found = h("div.found");
  element = h(
    "section.finder",
    h("div.row", this.#earlier, this.#title, this.#later, this.#all),
    this.#calendar,
    h("div.day-bar", this.#bar, this.#range, this.#hours),
    this.#found,
  );

  /**
   * `choose(day)` limits the list to the day that begins then; null for all days. `tile(event)` shows an event.
   *
   * @param {(day: number | null) => void} choose
   * @param {(event: Answer) => HTMLElement} tile
   */
  constructor(choose, tile) {
    this.#choose = choose;
    this.#tile = tile;
    this.element.setAttribute("aria-label", t("finder"));
    this.#earlier.setAttribute("aria-label", t("finder.earlier"));
    this.#later.setAttribute("aria-label", t("finder.later"));
    this.#range.setAttribute("aria-label", t("finder.time"));
    this.#all.textContent = t("finder.all");
  }

  /**
   * Takes the events that pass the filter, and the gaps.
   *
   * @param {Found} found
   * @param {Answer[]} events
   */
  update(found, events) {
    this.#events = events;
    this.#gaps = closedGaps(found, Date.now());
    this.#rings = ringsAlone(found);
    this.#days = new Map();
    for (const event of events) this.#count(dayOf(event.start_ms)).events++;
    for (const at of this.#rings) this.#count(dayOf(at)).rings++;
    for (const { at, to } of this.#gaps) {
      for (let day = dayOf(at); day < to || day === dayOf(at); day = dayAfter(day, 1)) this.#count(day).gaps++;
    }
    this.element.hidden = this.#days.size === 0;
    // The list begins with the newest day, so the slider does too.
    if (!this.#isOneDay && this.#days.size) this.#day = Math.max(...this.#days.keys());
    const drawn = JSON.stringify([...this.#days]);
    // The calendar keeps its focus while stills are opened, which updates the list every moment.
    if (drawn !== this.#drawn) this.#draw();
    else this.#drawBar();
    this.#drawn = drawn;
  }

  /** @param {number} day */
  #count(day) {
    const known = this.#days.get(day) ?? { events: 0, gaps: 0, rings: 0 };
    this.#days.set(day, known);
    return known;
  }

  /** @param {number} way */
  #step(way) {
    const days = [...this.#days.keys()].sort((a, b) => a - b);
    const next = way < 0 ? days.filter((day) => day < this.#day).at(-1) : days.find((day) => day > this.#day);
    if (next !== undefined) this.#show(next);
  }

  /** @param {number} day */
  #show(day) {
    this.#day = day;
    this.#isOneDay = true;
    this.#found.replaceChildren();
    this.#choose(day);
    this.#draw();
  }

  #showAll() {
    this.#isOneDay = false;
    this.#day = Math.max(...this.#days.keys());
    this.#found.replaceChildren();
    this.#choose(null);
    this.#draw();
    this.#title.focus();
  }

  #toggle() {
    this.#calendar.hidden = !this.#calendar.hidden;
    this.#month = this.#day;
    this.#draw();
  }

  #draw() {
    const days = [...this.#days.keys()];
    this.#title.textContent = date(this.#day);
    this.#title.setAttribute("aria-expanded", String(!this.#calendar.hidden));
    this.#earlier.disabled = !days.some((day) => day < this.#day);
    this.#later.disabled = !days.some((day) => day > this.#day);
    this.#all.hidden = !this.#isOneDay;
    if (!this.#calendar.hidden) this.#drawCalendar();
    this.#drawBar();
  }

  #drawBar() {
    const [from, to] = [this.#day, dayAfter(this.#day, 1)];
    // In seconds: Chromium takes no length over 2^25, and the milliseconds of a day pass that at 09:19.
    this.#bar.setAttribute("viewBox", `0 0 ${(to - from) / SECOND_MS} 100`);
    /**
     * @param {string} kind
     * @param {number} start
     * @param {number} end
     * @param {number} top
     */
    const mark = (kind, start, end, top) => {
      const [x, right] = [Math.max(start, from), Math.min(end, to)].map((at) => (at - from) / SECOND_MS);
      return svg("rect", { class: kind, x: String(x), width: String(right - x), y: String(top), height: "100" });
    };
    const gaps = this.#gaps.filter((gap) => gap.at < to && gap.to > from);
    this.#bar.replaceChildren(
      ...gaps.map((gap) => mark("off", gap.at, gap.to, 0)),
      ...this.#ofDay().map((event) => {
        const end = Math.max(event.end_ms, event.start_ms + LEAST_MARK_MS);
        return mark(event.kind === "button" ? "rang" : "moved", event.start_ms, end, event.kind === "button" ? 0 : 40);
      }),
      ...this.#rings
        .filter((at) => at >= from && at < to)
        .map((at) => mark("rang", at - LEAST_MARK_MS / 2, at + LEAST_MARK_MS / 2, 0)),
    );
    this.#hours.replaceChildren(...HOURS.map((hour) => h("span", clock(new Date(from).setHours(hour)))));
    this.#range.max = String((to - from) / MINUTE_MS);
    if (!this.#found.firstChild) {
      const newest = this.#ofDay()[0];
      this.#range.value = String(newest ? Math.floor((newest.start_ms - from) / MINUTE_MS) : 720);
      this.#found.replaceChildren();
      this.#range.setAttribute("aria-valuetext", listed(this.#wordsAt(this.#at())));
    }
  }

  #ofDay() {
    const to = dayAfter(this.#day, 1);
    return this.#events.filter((event) => event.start_ms < to && event.end_ms >= this.#day);
  }

  #at() {
    return this.#day + Number(this.#range.value) * MINUTE_MS;
  }

  /**
   * The time, and what the doorbell has of it.
   *
   * @param {number} at
   */
  #wordsAt(at) {
    const event = eventAt(this.#ofDay(), at);
    if (event) return [clock(event.start_ms), wordsOf(event)];
    const ring = this.#rings.find((each) => Math.abs(each - at) <= LEAST_MARK_MS);
    if (ring !== undefined) return [t("timeline.ring", { time: clock(ring) })];
    const gap = this.#gaps.find((each) => each.at <= at && at < each.to);
    if (!gap) return [clock(at), t("finder.nothing")];
    const [from, to] = isOneDay(gap.at, gap.to) ? clocks(gap.at, gap.to) : [gap.at, gap.to].map(dateAndClock);
    return [t("timeline.gap", { from, to, reason: t(`gap.${gap.reason}`) })];
  }

  /** The slider was moved: shows the event there, or why there is none. */
  #look() {
    const at = this.#at();
    const event = eventAt(this.#ofDay(), at);
    const words = this.#wordsAt(at);
    this.#range.setAttribute("aria-valuetext", listed(words));
    this.#found.replaceChildren(event ? this.#tile(event) : h("p.quiet", words.join(": ")));
  }

  #drawCalendar() {
    const at = new Date(this.#month);
    const first = new Date(at.getFullYear(), at.getMonth(), 1);
    const length = new Date(at.getFullYear(), at.getMonth() + 1, 0).getDate();
    const days = [...this.#days.keys()];
    /** @param {number} way */
    const turn = (way) => {
      this.#month = new Date(at.getFullYear(), at.getMonth() + way, 1).getTime();
      this.#drawCalendar();
      // The pressed button was replaced: its successor takes the focus, or its neighbour at the last month.
      const buttons = [...this.#calendar.querySelectorAll("button")].filter((button) => !button.disabled);
      (buttons.find((button) => button.dataset.way === String(way)) ?? buttons[0])?.focus();
    };
    const title = month(first);
    this.#calendar.replaceChildren(
      h(
        "div.row.between",
        h(
          "button.small",
          {
            type: "button",
            "data-way": "-1",
            "aria-label": t("finder.month.earlier"),
            disabled: !days.some((day) => day < first.getTime()),
            onclick: () => turn(-1),
          },
          arrows()[0],
        ),
        h("h2.when", title),
        h(
          "button.small",
          {
            type: "button",
            "data-way": "1",
            "aria-label": t("finder.month.later"),
            disabled: !days.some((day) => day >= dayAfter(first.getTime(), length)),
            onclick: () => turn(1),
          },
          arrows()[1],
        ),
      ),
      h(
        "div.month",
        { role: "group", "aria-label": title },
        [...Array(7).keys()].map((n) =>
          h("span.quiet", { "aria-hidden": "true" }, weekday(dayAfter(MONDAY.getTime(), n))),
        ),
        [...Array((first.getDay() + 6) % 7).keys()].map(() => h("span")),
        [...Array(length).keys()].map((n) => this.#dayButton(dayAfter(first.getTime(), n), n + 1)),
      ),
    );
  }

  /**
   * @param {number} day
   * @param {number} number
   */
  #dayButton(day, number) {
    const { events, gaps, rings } = this.#days.get(day) ?? { events: 0, gaps: 0, rings: 0 };
    const label = listed([date(day), t("finder.events", { n: events }), ...(gaps ? [t("finder.gaps")] : [])]);
    return h(
      `button.date${events || rings ? ".some" : ""}${gaps ? ".gaps" : ""}`,
      {
        type: "button",
        disabled: !events && !gaps && !rings,
        "aria-label": label,
        "aria-pressed": String(this.#isOneDay && day === this.#day),
        onclick: () => {
          this.#calendar.hidden = true;
          this.#show(day);
          this.#title.focus();
        },
      },
      String(number),
    );
  }
}

// Days of 23, 24 and 25 hours, gaps without a known end, and the event that a finger on the slider means.
import "./globals.mjs";
import { closedGaps, dayAfter, dayOf, eventAt } from "../../agent/web/src/ui/days.js";
import { clocks } from "../../agent/web/src/ui/texts.js";

Object.defineProperties(globalThis, {
  document: { value: { documentElement: { lang: "nl" } } },
  navigator: { value: { languages: [] } },
});
const HOUR = 3_600_000;
const hours = (year, month, day) => {
  const start = new Date(year, month, day).getTime();
  return (dayAfter(start, 1) - start) / HOUR;
};
const at = (start_ms, end_ms, event = "") => ({ start_ms, end_ms, event });
const gap = (start_ms, end_ms) => ({ start_ms, end_ms, reason: "off" });
const events = [at(50 * 60_000, 51 * 60_000, "later"), at(10 * 60_000, 20 * 60_000, "earlier")];
const ends = closedGaps(
  { events: [at(100, 200), at(500, 600)], gaps: [gap(900, 900), gap(300, 300), gap(10, 90)] },
  1000,
);
console.log(
  JSON.stringify([
    [hours(2026, 2, 29), hours(2026, 9, 25), hours(2026, 5, 1)],
    dayOf(new Date(2026, 2, 29, 23, 59).getTime()) === new Date(2026, 2, 29).getTime(),
    ends.map((each) => each.to),
    [10, 30].map((seconds) => {
      const from = new Date(2026, 5, 1, 6, 6, 32).getTime();
      return clocks(from, from + seconds * 1000);
    }),
    [15, 24, 30, 46, 52, 58].map((minute) => eventAt(events, minute * 60_000)?.event ?? null),
  ]),
);

// Requests and answers, in figures and entry by entry. This browser verifies the ledger.
import { ask, call } from "../ui/client.js";
import { h, svg } from "../ui/dom.js";
import { dateAndClock, explain, shortMonth, t, wholeNumber } from "../ui/texts.js";

/** @import { Entry } from "../types.js" */

/** @typedef {{ key: string, name: string, counts: Record<string, number> }} Month */

const MONTHS = 6;
const SHOWN = 200;
const ANSWERS = ["approved", "denied", "opted-out", "expired", "blocked", "no-match"];

/** @param {HTMLElement} content */
export async function history(content) {
  content.append(h("h1", t("history.title")), h("p.lead", t("history.lead")));
  const { blocked, counters } = await ask("requests", { all: true });
  let ledger;
  try {
    ledger = await call("ledger");
  } catch (error) {
    content.append(h("p.problem", { role: "alert" }, explain(error)));
    return;
  }
  const { entries } = ledger;
  /** @param {string} kind */
  const count = (kind) => entries.filter((entry) => entry.kind === kind).length;
  content.append(
    h(
      "div.card.verified",
      h("h2", t("history.verified")),
      h("p", t("history.verified.text", { n: ledger.size, grown: ledger.grown })),
      h("p.quiet", t("history.verified.more")),
    ),
    h(
      "dl.figures",
      /** @type {[string, number][]} */ ([
        ["received", count("received")],
        ["approved", count("approved")],
        ["denied", count("denied")],
        ["sent", count("receipt")],
        ["blocked", blocked.length],
        ["silent", Object.values(counters).reduce((sum, n) => sum + n, 0)],
      ]).map(([name, n]) => h("div", h("dt", t(`history.${name}`)), h("dd", wholeNumber(n)))),
    ),
    chart(entries),
    h("h2", t("history.entries")),
    entryTable(entries),
  );
}

/**
 * Answers by month: bars for the eye, a table for everybody.
 *
 * @param {Entry[]} entries
 */
function chart(entries) {
  const months = countedByMonth(entries);
  const used = ANSWERS.filter((kind) => months.some((month) => month.counts[kind]));
  return h(
    "figure.card.chart",
    h("figcaption", h("h2", t("history.chart"))),
    bars(months),
    h(
      "ul.legend",
      { "aria-hidden": "true" },
      used.map((kind) => h(`li.${kind}`, t(`ledger.${kind}`))),
    ),
    monthTable(months, used),
  );
}

/**
 * The last months, oldest first, each with how many answers of each kind were given in it.
 *
 * @param {Entry[]} entries
 */
function countedByMonth(entries) {
  /** @param {Date} day */
  const keyOf = (day) => `${day.getFullYear()}-${day.getMonth()}`;
  const months = Array.from({ length: MONTHS }, (_, i) => {
    const day = new Date();
    // The first of the month before its number changes: the 31st of a shorter month would be in the next.
    day.setDate(1);
    day.setMonth(day.getMonth() - (MONTHS - 1 - i));
    const name = shortMonth(day);
    /** @type {Record<string, number>} */
    const counts = {};
    return { key: keyOf(day), name, counts };
  });
  for (const entry of entries) {
    const month = months.find((each) => each.key === keyOf(new Date(entry.utc_ms)));
    if (month && ANSWERS.includes(entry.kind)) month.counts[entry.kind] = (month.counts[entry.kind] ?? 0) + 1;
  }
  return months;
}

/**
 * Columns of 50 units each, stacked upwards from a line at 100.
 *
 * @param {Month[]} months
 */
function bars(months) {
  /** @param {Month} month */
  const total = (month) => Object.values(month.counts).reduce((sum, n) => sum + n, 0);
  const most = Math.max(1, ...months.map(total));
  /**
   * @param {Month} month
   * @param {number} i
   */
  const column = (month, i) => {
    let y = 100;
    return ANSWERS.map((kind) => {
      const height = ((month.counts[kind] ?? 0) / most) * 90;
      y -= height;
      const box = { x: String(i * 50 + 10), y: String(y), width: "30", height: String(height) };
      return svg("rect", { ...box, class: `bar ${kind}` });
    });
  };
  const labels = months.map((month, i) =>
    svg("text", { x: String(i * 50 + 25), y: "114", "text-anchor": "middle" }, month.name),
  );
  return svg(
    "svg",
    { viewBox: `0 0 ${MONTHS * 50} 120`, "aria-hidden": "true" },
    svg("line", { x1: "0", x2: String(MONTHS * 50), y1: "100", y2: "100", class: "axis" }),
    months.flatMap(column),
    labels,
  );
}

/**
 * @param {Month[]} months
 * @param {string[]} used
 */
const monthTable = (months, used) =>
  h(
    "table.hidden",
    h("caption", t("history.chart")),
    h(
      "thead",
      h(
        "tr",
        h("th", { scope: "col" }, t("history.month")),
        used.map((kind) => h("th", { scope: "col" }, t(`ledger.${kind}`))),
      ),
    ),
    h(
      "tbody",
      months.map((month) =>
        h(
          "tr",
          h("th", { scope: "row" }, month.name),
          used.map((kind) => h("td", String(month.counts[kind] ?? 0))),
        ),
      ),
    ),
  );

/** @param {Entry[]} entries */
function entryTable(entries) {
  // The verification takes padding, too. A reader learns nothing from it.
  const listed = entries.filter((entry) => entry.kind !== "padding");
  const shown = listed.slice(-SHOWN).reverse();
  return h(
    "div.scroll",
    { tabindex: "0", role: "region", "aria-label": t("history.entries") },
    h(
      "table.entries",
      h(
        "thead",
        h(
          "tr",
          ["when", "what", "who", "detail"].map((name) => h("th", { scope: "col" }, t(`history.${name}`))),
        ),
      ),
      h(
        "tbody",
        shown.map((entry) =>
          h(
            "tr",
            h("td", dateAndClock(entry.utc_ms)),
            h("td", t(`ledger.${entry.kind}`)),
            h("td", entry.requester ?? ""),
            h(
              "td",
              [entry.segments !== undefined && t("ledger.segments", { n: entry.segments }), entry.reason]
                .filter(Boolean)
                .join(" · "),
            ),
          ),
        ),
      ),
    ),
    listed.length > SHOWN ? h("p.quiet", t("history.newest", { n: SHOWN })) : null,
  );
}

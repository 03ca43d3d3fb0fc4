// What was asked and what was answered, in figures and entry by entry; the ledger is verified in this browser.
import { ask, call } from "../ui/client.js";
import { h, svg } from "../ui/dom.js";
import { dateAndClock, explain, t, wholeNumber } from "../ui/texts.js";

const MONTHS = 6;
const SHOWN = 200;
const ANSWERS = ["approved", "denied", "opted-out", "expired", "blocked", "no-match"];

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
  const count = (kind) => entries.filter((entry) => entry.kind === kind).length;
  content.append(
    h("div.card.verified", h("h2", t("history.verified")), h("p", t("history.verified.text", { n: ledger.size, grown: ledger.grown })), h("p.quiet", t("history.verified.more"))),
    h(
      "dl.figures",
      [["received", count("received")], ["approved", count("approved")], ["denied", count("denied")], ["sent", count("receipt")], ["blocked", blocked.length], ["silent", Object.values(counters).reduce((sum, n) => sum + n, 0)]].map(
        ([name, n]) => h("div", h("dt", t(`history.${name}`)), h("dd", wholeNumber(n))),
      ),
    ),
    chart(entries),
    h("h2", t("history.entries")),
    entryTable(entries),
  );
}

/** Answers by month: bars for the eye, a table for everybody. */
function chart(entries) {
  const months = Array.from({ length: MONTHS }, (_, i) => {
    const day = new Date();
    day.setDate(1);
    day.setMonth(day.getMonth() - (MONTHS - 1 - i));
    return { key: `${day.getFullYear()}-${day.getMonth()}`, name: new Intl.DateTimeFormat(document.documentElement.lang, { month: "short" }).format(day), counts: {} };
  });
  for (const entry of entries) {
    const day = new Date(entry.utc_ms);
    const month = months.find((each) => each.key === `${day.getFullYear()}-${day.getMonth()}`);
    if (month && ANSWERS.includes(entry.kind)) month.counts[entry.kind] = (month.counts[entry.kind] ?? 0) + 1;
  }
  const total = (month) => Object.values(month.counts).reduce((sum, n) => sum + n, 0);
  const most = Math.max(1, ...months.map(total));
  const bars = months.flatMap((month, i) => {
    let y = 100;
    return ANSWERS.map((kind) => {
      const height = ((month.counts[kind] ?? 0) / most) * 90;
      y -= height;
      return svg("rect", { x: String(i * 50 + 10), y: String(y), width: "30", height: String(height), class: `bar ${kind}` });
    });
  });
  const labels = months.map((month, i) => svg("text", { x: String(i * 50 + 25), y: "114", "text-anchor": "middle" }, month.name));
  const used = ANSWERS.filter((kind) => months.some((month) => month.counts[kind]));
  return h(
    "figure.card.chart",
    h("figcaption", h("h2", t("history.chart"))),
    svg("svg", { viewBox: `0 0 ${MONTHS * 50} 120`, "aria-hidden": "true" }, svg("line", { x1: "0", x2: String(MONTHS * 50), y1: "100", y2: "100", class: "axis" }), bars, labels),
    h("ul.legend", { "aria-hidden": "true" }, used.map((kind) => h(`li.${kind}`, t(`ledger.${kind}`)))),
    h(
      "table.hidden",
      h("caption", t("history.chart")),
      h("thead", h("tr", h("th", { scope: "col" }, t("history.month")), used.map((kind) => h("th", { scope: "col" }, t(`ledger.${kind}`))))),
      h("tbody", months.map((month) => h("tr", h("th", { scope: "row" }, month.name), used.map((kind) => h("td", String(month.counts[kind] ?? 0)))))),
    ),
  );
}

function entryTable(entries) {
  const shown = entries.slice(-SHOWN).reverse();
  return h(
    "div.scroll",
    { tabindex: "0", role: "region", "aria-label": t("history.entries") },
    h(
      "table.entries",
      h("thead", h("tr", ["when", "what", "who", "detail"].map((name) => h("th", { scope: "col" }, t(`history.${name}`))))),
      h(
        "tbody",
        shown.map((entry) =>
          h(
            "tr",
            h("td", dateAndClock(entry.utc_ms)),
            h("td", t(`ledger.${entry.kind}`)),
            h("td", entry.requester ?? ""),
            h("td", [entry.segments !== undefined && t("ledger.segments", { n: entry.segments }), entry.reason].filter(Boolean).join(" · ")),
          ),
        ),
      ),
    ),
    entries.length > SHOWN ? h("p.quiet", t("history.newest", { n: SHOWN })) : null,
  );
}


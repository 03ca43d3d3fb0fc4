// The household's doorbells: which of them answer, the way to each, and the way to add one. A separate document: its
// policy lets it ask the other doorbells whether they are there, and it uses no keys.
import { existing, h } from "../ui/dom.js";
import { lastSeen, noteAnswer, timeOf } from "../ui/last_seen.js";
import { add, answers, fragmentOf, known, originOf, remove } from "../ui/neighbours.js";
import { t, withCode } from "../ui/texts.js";

const AGAIN_MS = 10_000;

/** Shows itself in the place of a page. */
export function doorbells() {
  const list = h("ul.plain.doorbells");
  const own = existing("#doorbell").textContent ?? "";
  const show = () => list.replaceChildren(...[ownEntry(own), ...known().map((each) => entry(each, show))]);
  show();
  existing("main").replaceChildren(
    h(
      "div.page",
      h("h1", t("doorbells.title")),
      h("section.card", list),
      addForm(own, show),
      h("p", h("a.button", { href: "/timeline" }, t("doorbells.back", { doorbell: own }))),
    ),
  );
  document.title = `${t("doorbells.title")} · Doorward`;
  setInterval(() => document.visibilityState === "visible" && show(), AGAIN_MS);
}

/** @param {string} name */
function ownEntry(name) {
  const state = h("small.quiet", t("doorbells.asking"));
  void answers(location.origin).then((isThere) => {
    if (isThere) noteAnswer();
    state.textContent = isThere ? t("doorbells.here") : offSince(lastSeen());
  });
  return h("li.row.between", h("span", name, state), h("a.button.small", { href: "/timeline" }, t("doorbells.open")));
}

/**
 * @param {import("../ui/neighbours.js").Doorbell} doorbell
 * @param {() => void} again
 */
function entry({ name, origin, seen }, again) {
  const state = h("small.quiet", { role: "status" }, t("doorbells.asking"));
  void answers(origin).then((isThere) => {
    state.textContent = isThere ? t("doorbells.there") : offSince(timeOf(seen));
  });
  const forget = () => {
    remove(origin);
    again();
  };
  return h(
    "li.row.between",
    h("span", name, state),
    h(
      "span.row",
      h("a.button.small", { href: `${origin}/timeline` }, t("doorbells.open")),
      h("button.small", { type: "button", onclick: forget }, t("doorbells.forget")),
    ),
  );
}

/** @param {string | undefined} since */
const offSince = (since) => (since ? t("doorbells.off", { since }) : t("doorbells.never"));

/**
 * @param {string} own
 * @param {() => void} again
 */
function addForm(own, again) {
  const field = h("input", {
    id: "address",
    required: true,
    autocomplete: "off",
    spellcheck: false,
    autocapitalize: "none",
  });
  const problem = h("p.problem", { role: "alert" });
  const ways = h("div");
  return h(
    "form.card",
    {
      onsubmit(event) {
        event.preventDefault();
        const origin = originOf(field.value);
        problem.textContent = origin && origin !== location.origin ? "" : t("doorbells.no-address");
        if (!origin || problem.textContent) return;
        add(new URL(origin).hostname.replace(/\.local$/, ""), origin);
        again();
        ways.replaceChildren(
          h("p", t("doorbells.next")),
          h(
            "ol",
            h("li", h("a", { href: `${origin.replace("https", "http")}/install` }, t("doorbells.authority"))),
            h("li", t("doorbells.keys")),
            h("li", h("a", { href: `${origin}/pair${fragmentOf(own)}` }, t("doorbells.pair"))),
          ),
        );
      },
    },
    h("h2", t("doorbells.add")),
    h("label", { for: "address" }, t("doorbells.address")),
    field,
    h("p.help", withCode("doorbells.address.help")),
    problem,
    h("div.row.end", h("button.primary", { type: "submit" }, t("doorbells.add.button"))),
    ways,
  );
}

// One request: who asks and for what, then the owner's answer, or what has become of it.

import { RefusedError } from "../errors.js";
import { go } from "../navigation.js";
import { entriesOf } from "../owner/entries.js";
import { ask, call } from "../ui/client.js";
import { withCredential } from "../ui/dialogs.js";
import { h, ICONS, icon, svg } from "../ui/dom.js";
import { area, bytes, dateAndClock, explain, shortDate, span, t } from "../ui/texts.js";
import { bounds, contains, openedSize, shareNear } from "../wire/area.js";
import { drawn } from "./area_drawing.js";
import { daysText, promiseFacts } from "./promise.js";
import { deny, endedAutomatically, renderCoApproval, requesterName, respond, WAITING } from "./respond.js";
import { left } from "./shared_footage.js";

/** @import { Answer, Area, Child, Entry, Review } from "../types.js" */
/** @import * as Wire from "../wire/generated.js" */
const REFRESH_MS = 3000;

/**
 * @param {HTMLElement} content
 * @param {string} id
 */
export async function request(content, id) {
  let review;
  try {
    review = await call("review", { id });
  } catch (error) {
    if (error instanceof RefusedError) throw error;
    return refused(content, id, error);
  }
  content.append(
    h("a.back", { href: "/requests" }, icon(...ICONS.back), t("requests.title")),
    h("h1", { dir: "auto" }, review.requester),
    h("p.lead", t("requests.asks", { kind: t(`kind.${review.kind}`), incident: t(`incident.${review.incident}`) })),
    facts(review),
  );
  const isOpen = WAITING.includes(review.state);
  if (review.first && !review.expired) {
    const { name } = await call("state", {});
    const { by, isGone } = review.first;
    if (by !== name && !isGone) return renderCoApproval(content, review);
    content.append(h("p.note", isGone ? t("second.gone", { owner: by }) : t("second.waits")));
  }
  if (isOpen && !review.expired) return respond(content, review);
  if (isOpen) content.append(h("p.note", t("error.over")), denyWithoutOpening(review));
  return following(content, review);
}

/**
 * A request that fails verification can still be denied while it waits. If it has ended, the page tells how.
 *
 * @param {HTMLElement} content
 * @param {string} id
 * @param {any} error
 */
async function refused(content, id, error) {
  const { requests: all } = await ask("requests", { all: true });
  /** @type {Answer | undefined} */
  const now = all.find((each) => each.id === id);
  content.append(h("a.back", { href: "/requests" }, icon(...ICONS.back), t("requests.title")));
  if (now && !WAITING.includes(now.state)) {
    const why = error.text === "error.nobody-trusted" ? t("request.untrusted") : explain(error);
    content.append(h("h1", { dir: "auto" }, requesterName(now)), h("p.note", why));
    return following(content, now);
  }
  content.append(
    h("h1", t("request.unverified")),
    h("p.problem", { role: "alert" }, explain(error)),
    h("p", t("request.unverified.text")),
    denyWithoutOpening({ id, state: now?.state }),
  );
  return undefined;
}

/** @param {{ id: string, state?: string }} review */
const denyWithoutOpening = (review) =>
  h("div.row", h("button", { type: "button", onclick: () => deny(review) }, t("request.deny")));

/** @param {Review} review */
function facts(review) {
  /**
   * @param {string} name
   * @param {Child} value
   */
  const row = (name, value) => [h("dt", name), h("dd", value)];
  return h(
    "div.card",
    h(
      "dl.facts",
      row(t("request.case"), h("bdi", review.case)),
      row(t("request.when"), span(review.from * 1000, review.to * 1000)),
      row(t("request.area"), [
        t("request.area.text", { size: area(openedSize(review.area)), place: placeOf(review.area) }),
        ". ",
        nearness(review),
      ]),
      promiseFacts(review).flatMap(([name, value]) => row(name, value)),
      row(t("request.open-until"), shortDate(review.notAfter * 1000)),
      row(
        t("request.contact"),
        [review.contact.name, review.contact.email, review.contact.phone]
          .filter(Boolean)
          .flatMap((each, i) => [i ? " · " : "", h("bdi", each)]),
      ),
    ),
    outline(review),
    h(
      "figure.words",
      h("blockquote", h("p", { dir: "auto", lang: review.language }, review.description)),
      h("figcaption", t("request.words")),
    ),
    h(
      "div.two",
      h(
        "section",
        h("h2", t("request.get")),
        h(
          "ul",
          ["1", "2", "3"].map((n) => h("li", t(`request.get.${n}`))),
        ),
      ),
      h(
        "section",
        h("h2", t("request.never")),
        h(
          "ul",
          ["1", "2", "3", "4"].map((n) => h("li", t(`request.never.${n}`))),
        ),
      ),
    ),
  );
}

const NEAR_M = 200;

/**
 * Distance between the requested area and this door.
 *
 * @param {Review} options
 */
function nearness({ area: asked, position }) {
  if (!position) return t("request.near.unknown");
  if (!contains(asked, position)) return t("request.near.outside");
  return t("request.near", { percent: Math.round(100 * shareNear(asked, position, NEAR_M)) });
}

/**
 * The outline to scale with the door in it. A map would have to be fetched, so there is none.
 *
 * @param {Review} options
 */
function outline({ area: asked, position }) {
  const { wide, high, line, door } = drawn(asked, position);
  return h(
    "figure.outline",
    svg(
      "svg",
      {
        viewBox: `-6 -6 ${wide + 12} ${high + 12}`,
        width: `${wide + 12}`,
        height: `${high + 12}`,
        role: "img",
        "aria-label": t("request.outline"),
        fill: "none",
        stroke: "currentColor",
      },
      svg(line.shape, line.attributes),
      door ? [svg("circle", { ...door, r: "4", fill: "currentColor" })] : [],
    ),
  );
}

/** @param {Area} area */
function placeOf(area) {
  const box = bounds(area);
  return `${((box.south + box.north) / 2).toFixed(3)}, ${((box.west + box.east) / 2).toFixed(3)}`;
}

// Afterwards

/**
 * @param {HTMLElement} content
 * @param {Review | Answer} review
 */
function following(content, review) {
  const place = h("div");
  const story = h("div");
  content.append(place, story);
  let shown = "";
  async function refresh() {
    const [{ requests: all }, status] = await Promise.all([ask("requests", { all: true }), ask("status")]);
    const now = all.find((/** @type {Answer} */ each) => each.id === review.id);
    // A requester may state something while the page is open, for example that it deleted the footage.
    const said = `${now?.state} ${now?.stated} `;
    const key = `${said}${status.link?.sent_bytes}`;
    if (!now || key === shown) return;
    // Only then are ledger and answer loaded again. The bytes sent change every few seconds.
    const isNewState = !shown.startsWith(said);
    shown = key;
    if (!isNewState) return place.replaceChildren(standing(now, status.link ?? {}));
    const [receipt, entries, shared] = await Promise.all([
      saidOf(review.id),
      call("ledger").then(({ entries: all }) => entriesOf(all, review.id)),
      left({ request: review.id }, "onward" in review ? review.requester : requesterName(now)),
    ]);
    place.replaceChildren(
      standing(now, status.link ?? {}, entries.map((entry) => entry.reason).find(endedAutomatically)),
    );
    story.replaceChildren(...[shared, receipt, storyOf(entries)].flatMap((each) => each ?? []));
  }
  const timer = setInterval(() => refresh().catch(() => {}), REFRESH_MS);
  return refresh().then(() => () => clearInterval(timer));
}

/**
 * `reason`: why the doorbell ended it, if it was not an owner.
 *
 * @param {Answer} now
 * @param {Answer} link
 * @param {string} [reason]
 */
function standing(now, link, reason) {
  const isRevocable = now.state === "approved" || now.state === "sending";
  return h(
    "section.card.standing",
    h("h2", reason ? t("state.by-itself") : t(`state.${now.state}`)),
    h("p", { role: "status" }, reason && `${t(`reason.${reason}`)} `, t(`state.${now.state}.text`)),
    now.state === "sending" &&
      link.sent_bytes > 0 &&
      h("p.quiet", t("sending.bytes", { bytes: bytes(link.sent_bytes) })),
    isRevocable &&
      h(
        "div.row",
        h("button", { type: "button", onclick: () => revoke(now) }, t(now.state === "approved" ? "revoke" : "stop")),
      ),
  );
}

/** @param {Answer} now */
async function revoke(now) {
  const done = await withCredential(t("revoke.title"), t(`revoke.text.${now.state}`), t("revoke.yes"), (credential) =>
    call("decide", { kind: "revocation", matter: { disclosure: now.disclosure }, credential }),
  );
  if (done) await go(`/requests/${now.id}`, { replace: true });
}

/**
 * The requester's latest statement, under their signature; null before their first one.
 *
 * @param {string} id
 */
async function saidOf(id) {
  /** @type {Partial<Review>} */
  const review = await call("review", { id }).catch(() => ({}));
  const { receipt, deleted, requester, retentionDays } = review;
  const lines = [
    receipt &&
      t(receipt.unopened ? "receipt.arrived" : `receipt.${receipt.state}`, {
        who: requester,
        date: receipt.at ? dateAndClock(receipt.at * 1000) : "",
      }),
    receipt && receipt.unopened > 0 && t("receipt.unopened", { n: receipt.unopened }),
    receipt?.days !== null && receipt?.days !== undefined && t("receipt.kept", { days: daysText(receipt.days) }),
    (receipt?.days ?? 0) > (retentionDays ?? 0) && t("receipt.longer", { days: daysText(retentionDays ?? 0) }),
    deleted && t("receipt.deleted", { who: requester, date: shortDate(deleted * 1000) }),
  ].filter(Boolean);
  return lines.length
    ? h(
        "section.card",
        h("h2", t("receipt")),
        h(
          "ul",
          lines.map((line) => h("li", line)),
        ),
        h("p.quiet", t("receipt.text")),
      )
    : null;
}

/** @param {Entry[]} own */
function storyOf(own) {
  return h(
    "section",
    h("h2", t("request.story")),
    h(
      "ol.story",
      own.map((entry) =>
        h(
          "li",
          h("time", { datetime: new Date(entry.utc_ms).toISOString() }, dateAndClock(entry.utc_ms)),
          h(
            "span",
            endedAutomatically(entry.reason) ? t(`reason.${entry.reason}`) : t(`ledger.${entry.kind}`),
            entry.segments !== undefined ? ` · ${t("ledger.segments", { n: entry.segments })}` : "",
          ),
        ),
      ),
    ),
    h("p.quiet", t("request.story.text")),
  );
}

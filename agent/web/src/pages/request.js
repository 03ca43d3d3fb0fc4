// One request: who asks and for what, exactly what matches, and the owner's answer.  Nothing is ticked beforehand,
// nothing counts down, and no is as near as yes.
import { go } from "../app.js";
import { RefusedError } from "../errors.js";
import { play } from "../media/player.js";
import { ask, call } from "../ui/client.js";
import { dialog, say, withPassphrase } from "../ui/dialogs.js";
import { h, icon, ICONS } from "../ui/dom.js";
import { poster } from "../ui/posters.js";
import { bytes, clock, dateAndClock, exact, explain, length, shortDate, span, t, wholeNumber } from "../ui/texts.js";
import { bounds, size } from "../wire/area.js";

const REFRESH_MS = 3000;

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
    h("h1", review.requester),
    h("p.lead", t("requests.asks", { kind: t(`kind.${review.kind}`), incident: t(`incident.${review.incident}`) })),
    facts(review),
  );
  if (review.state === "pending" && !review.expired) return answering(content, review);
  if (review.state === "pending") content.append(h("p.note", t("error.over")));
  return following(content, review);
}

/** A request that does not verify can still be turned down. */
function refused(content, id, error) {
  content.append(
    h("a.back", { href: "/requests" }, icon(...ICONS.back), t("requests.title")),
    h("h1", t("request.unverified")),
    h("p.problem", { role: "alert" }, explain(error)),
    h("p", t("request.unverified.text")),
    h("div.row", h("button", { type: "button", onclick: () => deny(id) }, t("request.deny"))),
  );
}

function facts(review) {
  const square = wholeNumber(size(review.area) / 10_000);
  const row = (name, value) => [h("dt", name), h("dd", value)];
  return h(
    "div.card",
    h(
      "dl.facts",
      row(t("request.case"), review.case),
      row(t("request.when"), span(review.from * 1000, review.to * 1000)),
      row(t("request.area"), t("request.area.text", { size: square, place: placeOf(review.area) })),
      row(t("request.open-until"), shortDate(review.notAfter * 1000)),
      row(t("request.contact"), [review.contact.name, review.contact.email, review.contact.phone].filter(Boolean).join(" · ")),
    ),
    h("figure.words", h("blockquote", h("p", review.description)), h("figcaption", t("request.words"))),
    h(
      "div.two",
      h("section", h("h2", t("request.get")), h("ul", ["1", "2", "3"].map((n) => h("li", t(`request.get.${n}`))))),
      h("section", h("h2", t("request.never")), h("ul", ["1", "2", "3", "4"].map((n) => h("li", t(`request.never.${n}`))))),
    ),
  );
}

function placeOf(area) {
  const box = bounds(area);
  return `${((box.south + box.north) / 2).toFixed(3)}, ${((box.west + box.east) / 2).toFixed(3)}`;
}

// Answering

function answering(content, review) {
  const chosen = new Set();
  let stop = () => {};
  const count = h("p.count", { "aria-live": "polite" });
  const share = h("button.primary", { type: "button", disabled: true, onclick: () => approve(review, chosen, grade(), contact()) });
  const grades = ["clips", "posters", "both"].map((value, i) =>
    h("label.choice", h("input", { type: "radio", name: "grade", value, checked: i === 0, onchange: update }), h("span", t(`grade.${value}`), h("small", t(`grade.${value}.text`)))),
  );
  const grade = () => content.querySelector("[name=grade]:checked").value;
  const contactForm = contactCard();
  const contact = () => contactForm.value();

  function update() {
    const clips = review.clips.filter((clip) => clip.segments.some((each) => chosen.has(each.id)));
    const ms = review.clips.flatMap((clip) => clip.segments).filter((each) => chosen.has(each.id)).reduce((sum, each) => sum + each.end - each.start, 0);
    const stills = grade() === "posters" ? clips.filter((clip) => clip.poster && chosen.has(clip.poster)).length : 1;
    share.disabled = chosen.size === 0 || stills === 0;
    count.textContent = chosen.size ? t("request.chosen", { n: clips.length, length: length(ms) }) : t("request.chosen.none");
    share.textContent = t("request.share");
  }

  const clips = review.clips.map((clip, i) => clipCard(clip, i, chosen, update, (video, segments) => {
    stop();
    stop = play(video, segments, (id) => call("segment", { id }), { onError: (error) => say(explain(error)) });
  }));
  content.append(
    h("h2", t("request.matches", { n: review.clips.length })),
    h("p.quiet", t("request.matches.text"), review.certain ? "" : ` ${t("request.uncertain")}`),
    h("ul.clips", clips),
    h("fieldset.card", h("legend", t("grade")), grades),
    contactForm.element,
    h(
      "div.card.answer",
      count,
      h(
        "div.row",
        h("button", { type: "button", onclick: () => deny(review.id) }, t("request.deny")),
        h("button", { type: "button", onclick: () => optOut(review) }, t("request.opt-out")),
        share,
      ),
      h("p.quiet", t("request.ignore")),
    ),
  );
  update();
  return () => stop();
}

function clipCard(clip, i, chosen, update, start) {
  const [first, last] = [clip.segments[0], clip.segments.at(-1)];
  const name = t("clip.name", { number: i + 1, from: clock(first.start), length: length(last.end - first.start) });
  const video = h("video", { controls: true, playsInline: true, muted: true, hidden: true, "aria-label": name });
  const still = poster(clip.poster, name);
  const frame = h(
    "div.frame",
    still,
    video,
    h("button.play", { type: "button", "aria-label": t("clip.play", { name }), onclick: () => begin(clip.segments) }, icon(...ICONS.play)),
  );
  function begin(segments) {
    video.hidden = false;
    frame.classList.add("playing");
    start(video, segments);
  }
  const boxes = clip.segments.map((each) =>
    h("input", {
      type: "checkbox", disabled: !each.shareable, value: each.id,
      onchange: (event) => (event.target.checked ? chosen.add(each.id) : chosen.delete(each.id), sync(), update()),
    }),
  );
  const whole = h("input", {
    type: "checkbox",
    onchange: (event) => {
      for (const box of boxes) {
        if (box.disabled) continue;
        box.checked = event.target.checked;
        box.checked ? chosen.add(box.value) : chosen.delete(box.value);
      }
      update();
    },
  });
  function sync() {
    const ticked = boxes.filter((box) => box.checked).length;
    whole.checked = ticked > 0 && ticked === boxes.filter((box) => !box.disabled).length;
    whole.indeterminate = ticked > 0 && !whole.checked;
  }
  return h(
    "li.card.clip",
    frame,
    h(
      "div.about",
      h("p.name", t(`event.${clip.kind || "motion"}`)),
      h("p.quiet", `${dateAndClock(first.start)} · ${length(last.end - first.start)}`),
      h("label.tick", whole, h("span", t("clip.share"), h("span.hidden", ` ${name}`))),
      h(
        "details",
        h("summary", t("clip.moments", { n: clip.segments.length })),
        h(
          "ul.moments",
          clip.segments.map((each, n) =>
            h(
              "li",
              h("label.tick", boxes[n], h("span", `${exact(each.start)} – ${exact(each.end)}`, each.shareable ? "" : ` · ${t("clip.torn")}`)),
              h("button.small", { type: "button", "aria-label": t("clip.play-moment", { time: exact(each.start) }), onclick: () => begin([each]) }, icon(...ICONS.play)),
            ),
          ),
        ),
      ),
    ),
  );
}

function contactCard() {
  const field = (name, type = "text") => [h("label", { for: `contact-${name}` }, t(`contact.${name}`)), h("input", { id: `contact-${name}`, type, maxlength: "200", autocomplete: "off" })];
  const fields = ["name", "street", "email", "note"].map((name) => field(name, name === "email" ? "email" : "text"));
  const element = h("details.card", h("summary", t("contact")), h("p.quiet", t("contact.text")), fields.flat());
  return {
    element,
    value() {
      if (!element.open) return undefined;
      const found = {};
      for (const [, input] of fields) {
        const text = input.value.normalize("NFC").replaceAll(/\s+/g, " ").trim();
        if (text) found[input.id.slice("contact-".length)] = text;
      }
      return Object.keys(found).length ? found : undefined;
    },
  };
}

async function approve(review, chosen, grade, contact) {
  const segments = grade === "posters" ? [] : [...chosen];
  const posters = grade === "clips" ? [] : review.clips.map((clip) => clip.poster).filter((id) => id && chosen.has(id));
  const done = await withPassphrase(
    t("approve.title"),
    [t("approve.text", { who: review.requester }), t("approve.what", { n: segments.length, stills: posters.length }), contact ? t("approve.contact") : t("approve.no-contact")],
    t("approve.yes"),
    (passphrase) => call("approve", { id: review.id, passphrase, segments, posters, contact }),
  );
  if (done) await go(`/requests/${review.id}`, { replace: true });
}

async function deny(id) {
  const done = await withPassphrase(t("deny.title"), t("deny.text"), t("deny.yes"), (passphrase) => call("deny", { id, passphrase }));
  if (!done) return;
  say(t("deny.done"));
  await go("/requests");
}

async function optOut(review) {
  const choices = [
    ["requester", review.requesterId, t("opt-out.requester", { who: review.requester })],
    ["kind", review.kind, t("opt-out.kind", { kind: t(`kind.${review.kind}`) })],
    ["incident", review.incident, t("opt-out.incident", { incident: t(`incident.${review.incident}`) })],
    ["all", undefined, t("opt-out.all")],
  ];
  const choice = await dialog(t("opt-out.title"), (close) => [
    h("p", t("opt-out.text")),
    h("div.stack", choices.map((each) => h("button", { type: "button", onclick: () => close(each) }, each[2]))),
    h("div.row.end", h("button", { type: "button", onclick: () => close(undefined) }, t("cancel"))),
  ]);
  if (!choice) return;
  const [scope, value, text] = choice;
  const done = await withPassphrase(text, t("opt-out.confirm"), t("opt-out.yes"), (passphrase) =>
    call("decide", { kind: "opt-out", matter: { scope, value }, passphrase }),
  );
  if (!done) return;
  say(t("opt-out.done"));
  await go("/requests");
}

// Afterwards

function following(content, review) {
  const place = h("div");
  const story = h("div");
  content.append(place, story);
  let shown = "";
  async function refresh() {
    const [{ requests: all }, status] = await Promise.all([ask("requests", { all: true }), ask("status")]);
    const now = all.find((each) => each.id === review.id);
    const key = `${now?.state} ${status.link?.sent_bytes}`;
    if (!now || key === shown) return;
    const isNewState = !shown.startsWith(`${now.state} `);
    shown = key;
    place.replaceChildren(standing(now, status.link ?? {}));
    if (isNewState) story.replaceChildren(await storyOf(review.id));
  }
  const timer = setInterval(() => refresh().catch(() => {}), REFRESH_MS);
  return refresh().then(() => () => clearInterval(timer));
}

function standing(now, link) {
  const isRevocable = now.state === "approved" || now.state === "sending";
  return h(
    "section.card.standing",
    h("h2", t(`state.${now.state}`)),
    h("p", { role: "status" }, t(`state.${now.state}.text`)),
    now.state === "sending" && link.sent_bytes > 0 && h("p.quiet", t("sending.bytes", { bytes: bytes(link.sent_bytes) })),
    isRevocable &&
      h(
        "div.row",
        h("button", { type: "button", onclick: () => revoke(now) }, t(now.state === "approved" ? "revoke" : "stop")),
      ),
  );
}

async function revoke(now) {
  const done = await withPassphrase(t("revoke.title"), t(`revoke.text.${now.state}`), t("revoke.yes"), (passphrase) =>
    call("decide", { kind: "revocation", matter: { disclosure: now.disclosure }, passphrase }),
  );
  if (done) await go(`/requests/${now.id}`, { replace: true });
}

/** What the ledger says happened to one request: verified in this browser. */
async function storyOf(id) {
  const { entries } = await call("ledger");
  const own = entries.filter((entry) => entry.request === id);
  return h(
    "section",
    h("h2", t("request.story")),
    h(
      "ol.story",
      own.map((entry) =>
        h("li", h("time", { datetime: new Date(entry.utc_ms).toISOString() }, dateAndClock(entry.utc_ms)), h("span", t(`ledger.${entry.kind}`), entry.segments !== undefined ? ` · ${t("ledger.segments", { n: entry.segments })}` : "")),
      ),
    ),
    h("p.quiet", t("request.story.text")),
  );
}


// Tips: what an owner tells one requester unasked, in words and, if they like, with pictures of one event; and what became
// of those sent.
import { go } from "../app.js";
import { RefusedError } from "../errors.js";
import { play } from "../media/player.js";
import { ask, call } from "../ui/client.js";
import { say, withPassphrase } from "../ui/dialogs.js";
import { h, icon, ICONS } from "../ui/dom.js";
import { dateAndClock, explain, t } from "../ui/texts.js";
import { clipCard, howMuch, isByItself, offerToLeaveOut, orFailed } from "./answering.js";
import { readEvent } from "./event.js";
import { left } from "./left.js";

const REFRESH_MS = 3000;

export async function tips(content, event) {
  const [takers, read, { needed }] = await Promise.all([call("takers"), event ? readEvent(event) : null, call("owners")]);
  // Where it takes two owners to share footage, a tip is no way around that.
  const found = needed > 1 ? null : read;
  content.append(
    read ? h("a.back", { href: `/timeline/${event}` }, icon(...ICONS.back), t("tip.event")) : h("a.back", { href: "/requests" }, icon(...ICONS.back), t("requests.title")),
    h("h1", t("tip.title")),
    h("p.lead", t("tip.lead")),
  );
  const stop = takers.length ? composing(content, takers, found, needed) : undefined;
  if (!takers.length) content.append(h("div.empty", h("p", t("tip.nobody")), h("p.quiet", t("tip.nobody.text"))));
  const sent = h("div");
  content.append(sent);
  const leave = await following(sent, takers);
  return () => {
    leave();
    stop?.();
  };
}

/** The words, the pictures, and whom they are for. */
function composing(content, takers, found, needed) {
  const chosen = new Set();
  // However often it is signed, because an answer was lost on its way: it is one tip.
  const tip = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  let stop = () => {};
  const to = h("select", { id: "tip-to" }, takers.map((each, i) => h("option", { value: String(i) }, t("tip.taker", { who: each.name, kind: t(`kind.${each.kind}`) }))));
  const words = h("textarea.prose", { id: "tip-text", dir: "auto", maxlength: "2000", rows: "5", "aria-describedby": "tip-text-help", oninput: update });
  const send = h("button.primary", { type: "button", disabled: true, onclick: () => confirmed() }, t("tip.send"));
  const grades = ["posters", "clips", "both"].map((value, i) =>
    h("label.choice", h("input", { type: "radio", name: "grade", value, checked: i === 1, onchange: update }), h("span", t(`grade.${value}`), h("small", t(`grade.${value}.text`)))),
  );
  const clip = found && {
    event: found.event.event, kind: found.event.kind, poster: found.event.poster,
    segments: found.segments.map((each) => ({ ...each, cut: !each.whole })),
  };
  const footage = clip && [
    h("h2", t("tip.footage")),
    h("p.quiet", t("tip.footage.text")),
    h("ul.clips", clipCard(clip, 0, chosen, update, (video, segments) => {
      stop();
      stop = play(video, segments, (id) => call("segment", { id }), { onError: (error) => say(explain(error)) });
    })),
    h("fieldset.card", h("legend", t("grade")), grades),
    h("p.note", t("tip.footage.note")),
  ];

  const picked = () => {
    const grade = content.querySelector("[name=grade]:checked")?.value;
    const segments = grade === "posters" ? [] : [...chosen];
    const posters = grade && grade !== "clips" && chosen.has(clip.poster) ? [clip.poster] : [];
    return { segments, posters };
  };
  function update() {
    const { segments, posters } = picked();
    send.disabled = !words.value.trim() && !segments.length && !posters.length;
  }
  async function confirmed() {
    const taker = takers[Number(to.value)];
    const [text, { segments, posters }] = [words.value.trim(), picked()];
    const isShown = segments.length + posters.length > 0;
    let failed = [];
    const done = await withPassphrase(
      t("tip.confirm"),
      [
        t("tip.confirm.text", { who: taker.name }),
        text && h("figure.words", h("blockquote", h("p", { dir: "auto" }, text))),
        isShown && howMuch(segments, posters),
        t(isShown ? "tip.confirm.shown" : "tip.confirm.words"),
      ].filter(Boolean),
      t("tip.yes"),
      (passphrase) => orFailed(sent(tip, call("tip", { tip, root: taker.root, requester: taker.id, text, segments, posters, passphrase })), (found) => (failed = found)),
    );
    if (failed.length) return void (await offerToLeaveOut(failed));
    if (!done) return;
    say(t("tip.done"));
    await go("/tips", { replace: true });
  }
  content.append(
    h("div.card", h("label", { for: "tip-to" }, t("tip.to")), to, h("label", { for: "tip-text" }, t("tip.words")), words, h("p.help", { id: "tip-text-help" }, t("tip.words.help"))),
    ...(footage ?? [needed > 1 ? h("p.note", t("tip.footage.two")) : h("p.quiet", t("tip.footage.how"))]),
    h(
      "div.card.two",
      h("section", h("h2", t("tip.get")), h("ul", ["1", "2"].map((n) => h("li", t(`tip.get.${n}`))))),
      h("section", h("h2", t("request.never")), h("ul", ["1", "2", "3"].map((n) => h("li", t(`tip.never.${n}`))))),
    ),
    h("div.row", send),
  );
  update();
  return () => stop();
}

/** What the doorbell has counts, not what was heard of it. */
async function sent(tip, signing) {
  try {
    return await signing;
  } catch (error) {
    const { tips: known } = error instanceof RefusedError ? await ask("tips").catch(() => ({ tips: [] })) : { tips: [] };
    if (known.some((each) => each.id === tip)) return true;
    throw error;
  }
}

/** Those sent, newest first, and how to take one back as far as it has not left. */
async function following(place, takers) {
  let shown = "";
  async function refresh() {
    const { tips: sent } = await ask("tips");
    const key = JSON.stringify(sent);
    if (key === shown) return;
    shown = key;
    if (!sent.length) return place.replaceChildren();
    const { entries } = await call("ledger");
    const when = new Map(entries.filter((entry) => entry.kind === "tip").map((entry) => [entry.disclosure, entry.utc_ms]));
    const byThemselves = new Set(entries.filter((entry) => isByItself(entry.reason)).map((entry) => entry.disclosure));
    const newestFirst = [...sent].sort((a, b) => (when.get(b.id) ?? 0) - (when.get(a.id) ?? 0));
    place.replaceChildren(h("h2", t("tip.sent")), h("ul.cards.small", newestFirst.map((each) => h("li", card(each, takers, when.get(each.id), byThemselves.has(each.id))))));
  }
  await refresh();
  const timer = setInterval(() => refresh().catch(() => {}), REFRESH_MS);
  return () => clearInterval(timer);
}

function card({ id, root, requester, state }, takers, when, endedByItself) {
  const who = takers.find((each) => each.root === root && each.id === requester)?.name ?? requester;
  const isRevocable = state === "approved" || state === "sending";
  return h(
    "article.card.request",
    h("header", h("p.who", { dir: "auto" }, who), h("p.state", t(endedByItself ? "state.by-itself" : state === "approved" ? "tip.ready" : `state.${state}`))),
    when && h("p.quiet", dateAndClock(when)),
    shownWith(id),
    isRevocable && h("button", { type: "button", onclick: () => revoke(id, state) }, t(state === "approved" ? "revoke" : "stop")),
  );
}

/** What left with a tip, once that is asked for. */
function shownWith(tip) {
  const place = h("div");
  const show = async ({ target }) => {
    if (target.open && !place.firstChild) place.replaceChildren(...[await left({ disclosure: tip })].filter(Boolean));
  };
  return h("details", { ontoggle: show }, h("summary", t("left.show")), place);
}

async function revoke(id, state) {
  const done = await withPassphrase(t("revoke.title"), t(`revoke.text.${state}`), t("revoke.yes"), (passphrase) =>
    call("decide", { kind: "revocation", matter: { disclosure: id }, passphrase }),
  );
  if (done) await go("/tips", { replace: true });
}

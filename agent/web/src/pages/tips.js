// Tips: what an owner tells one requester unasked, in words and, if they like, with pictures of one event; and what
// became of those sent.

import { RefusedError } from "../errors.js";
import { play } from "../media/player.js";
import { go } from "../navigation.js";
import { ask, call } from "../ui/client.js";
import { say, withCredential } from "../ui/dialogs.js";
import { h, ICONS, icon } from "../ui/dom.js";
import { dateAndClock, explain, t } from "../ui/texts.js";
import { MAX_TIP_CHARACTERS } from "../wire/bounds.js";
import { hex, randomBytes } from "../wire/bytes.js";
import { readEvent } from "./event.js";
import {
  checkedGrade,
  clipCard,
  describeAmount,
  endedAutomatically,
  gradeChoice,
  offerToSkip,
  orShowFailure,
} from "./respond.js";
import { left } from "./shared_footage.js";

/** @import { Answer, Failed, Playable } from "../types.js" */

/** @typedef {{ root: string, id: string, name: string, kind: string }} Taker */

const REFRESH_MS = 3000;

/**
 * @param {HTMLElement} content
 * @param {string} [event]
 */
export async function tips(content, event) {
  const [tipRecipients, read, { needed }] = await Promise.all([
    call("tipRecipients"),
    event ? readEvent(event) : null,
    call("owners"),
  ]);
  // If sharing footage takes two owners, a tip must not bypass the second.
  const found = needed > 1 ? null : read;
  content.append(
    read
      ? h("a.back", { href: `/timeline/${event}` }, icon(...ICONS.back), t("tip.event"))
      : h("a.back", { href: "/requests" }, icon(...ICONS.back), t("requests.title")),
    h("h1", t("tip.title")),
    h("p.lead", t("tip.lead")),
  );
  const stop = tipRecipients.length ? composing(content, tipRecipients, found, needed) : undefined;
  if (!tipRecipients.length)
    content.append(h("div.empty", h("p", t("tip.nobody")), h("p.quiet", t("tip.nobody.text"))));
  const sent = h("div");
  content.append(sent);
  const leave = await following(sent, tipRecipients);
  return () => {
    leave();
    stop?.();
  };
}

/**
 * The words, the pictures, and the recipient. Returns a function that stops playback.
 *
 * @param {HTMLElement} content
 * @param {Taker[]} tipRecipients
 * @param {any} found
 * @param {number} needed
 */
function composing(content, tipRecipients, found, needed) {
  const composer = new TipComposer(tipRecipients, found, needed);
  content.append(...composer.elements());
  composer.update();
  return () => composer.stop();
}

class TipComposer {
  #tipRecipients;
  #needed;
  #clip;
  /** Ids of the ticked segments. */
  #chosen = new Set();
  /** The tip's id.  However often it is signed, because an answer was lost on its way: it is one tip. */
  #tip = hex(randomBytes(16));
  #to;
  #words;
  #send;
  #choices;
  #stopFilm = () => {};

  /**
   * @param {Taker[]} tipRecipients
   * @param {Awaited<ReturnType<typeof readEvent>>} found the event to tell of; null for words alone
   * @param {number} needed how many owners it takes to share
   */
  constructor(tipRecipients, found, needed) {
    this.#tipRecipients = tipRecipients;
    this.#needed = needed;
    this.#clip = found && {
      event: found.event.event,
      kind: found.event.kind,
      poster: found.event.poster,
      segments: found.segments.map((/** @type {Answer} */ each) => ({ ...each, cut: !each.whole })),
    };
    const update = () => this.update();
    this.#to = h("select", { id: "tip-to" }, tipRecipients.map(takerOption));
    this.#words = h("textarea.prose", {
      id: "tip-text",
      dir: "auto",
      maxlength: String(MAX_TIP_CHARACTERS),
      rows: "5",
      "aria-describedby": "tip-text-help",
      oninput: update,
    });
    this.#send = h("button.primary", { type: "button", disabled: true, onclick: () => this.#confirm() }, t("tip.send"));
    this.#choices = h(
      "fieldset.card",
      h("legend", t("grade")),
      ["posters", "clips", "both"].map((value) => gradeChoice(value, "clips", update)),
    );
  }

  stop() {
    this.#stopFilm();
  }

  elements() {
    return [
      h(
        "div.card",
        h("label", { for: "tip-to" }, t("tip.to")),
        this.#to,
        h("label", { for: "tip-text" }, t("tip.words")),
        this.#words,
        h("p.help", { id: "tip-text-help" }, t("tip.words.help")),
      ),
      ...this.#footage(),
      whatTheyGet(),
      h("div.row", this.#send),
    ];
  }

  #footage() {
    if (!this.#clip) return [this.#needed > 1 ? h("p.note", t("tip.footage.two")) : h("p.quiet", t("tip.footage.how"))];
    /**
     * @param {HTMLVideoElement} video
     * @param {Playable[]} segments
     */
    const start = (video, segments) => {
      this.#stopFilm();
      /** @param {any} error */
      const onError = (error) => say(explain(error));
      this.#stopFilm = play(video, segments, (id) => call("segment", { id }), { onError });
    };
    return [
      h("h2", t("tip.footage")),
      h("p.quiet", t("tip.footage.text")),
      h(
        "ul.clips",
        clipCard(this.#clip, 0, this.#chosen, () => this.update(), start),
      ),
      this.#choices,
      h("p.note", t("tip.footage.note")),
    ];
  }

  /** The ticked segments and stills, as far as the chosen grade holds them. */
  #picked() {
    const grade = this.#clip && checkedGrade(this.#choices);
    const segments = grade === "posters" ? [] : [...this.#chosen];
    const still = this.#clip?.poster;
    const isStill = grade && grade !== "clips" && still && this.#chosen.has(still);
    return { segments, posters: isStill ? [still] : [] };
  }

  update() {
    const { segments, posters } = this.#picked();
    this.#send.disabled = !this.#words.value.trim() && !segments.length && !posters.length;
  }

  async #confirm() {
    const taker = this.#tipRecipients[Number(this.#to.value)];
    const [text, { segments, posters }] = [this.#words.value.trim(), this.#picked()];
    const isShown = segments.length + posters.length > 0;
    const matter = { tip: this.#tip, root: taker.root, requester: taker.id, text, segments, posters };
    /** @type {Failed[]} */
    let failed = [];
    const done = await withCredential(
      t("tip.confirm"),
      [
        t("tip.confirm.text", { who: taker.name }),
        text && h("figure.words", h("blockquote", h("p", { dir: "auto" }, text))),
        isShown && describeAmount(segments, posters),
        t(isShown ? "tip.confirm.shown" : "tip.confirm.words"),
      ].filter(Boolean),
      t("tip.yes"),
      (credential) =>
        orShowFailure(sent(this.#tip, call("tip", { ...matter, credential })), (found) => {
          failed = found;
        }),
    );
    if (failed.length) {
      await offerToSkip(failed);
      return;
    }
    if (!done) return;
    say(t("tip.done"));
    await go("/tips", { replace: true });
  }
}

/**
 * @param {Taker} taker
 * @param {number} i
 */
const takerOption = (taker, i) =>
  h("option", { value: String(i) }, t("tip.taker", { who: taker.name, kind: t(`kind.${taker.kind}`) }));

/** Side by side, what a requester gets from a tip and what it never gets. */
const whatTheyGet = () =>
  h(
    "div.card.two",
    h(
      "section",
      h("h2", t("tip.get")),
      h(
        "ul",
        ["1", "2"].map((n) => h("li", t(`tip.get.${n}`))),
      ),
    ),
    h(
      "section",
      h("h2", t("request.never")),
      h(
        "ul",
        ["1", "2", "3"].map((n) => h("li", t(`tip.never.${n}`))),
      ),
    ),
  );

/**
 * Re-reads the doorbell's state, because the answer may have been lost.
 *
 * @template T
 * @param {string} tip
 * @param {Promise<T>} signing
 * @returns {Promise<T | boolean>}
 */
async function sent(tip, signing) {
  try {
    return await signing;
  } catch (error) {
    const { tips: known } =
      error instanceof RefusedError ? await ask("tips").catch(() => ({ tips: [] })) : { tips: [] };
    if (known.some((/** @type {Answer} */ each) => each.id === tip)) return true;
    throw error;
  }
}

/**
 * Sent tips, newest first, with a button that takes back the parts that have not left.
 *
 * @param {HTMLElement} place
 * @param {Taker[]} tipRecipients
 */
async function following(place, tipRecipients) {
  let shown = "";
  async function refresh() {
    const { tips: sent } = await ask("tips");
    const key = JSON.stringify(sent);
    if (key === shown) return;
    shown = key;
    if (!sent.length) return place.replaceChildren();
    const { entries } = await call("ledger");
    const when = new Map(
      entries.filter((entry) => entry.kind === "tip").map((entry) => [entry.disclosure, entry.utc_ms]),
    );
    const byThemselves = new Set(
      entries.filter((entry) => endedAutomatically(entry.reason)).map((entry) => entry.disclosure),
    );
    const newestFirst = [...sent].sort((a, b) => (when.get(b.id) ?? 0) - (when.get(a.id) ?? 0));
    place.replaceChildren(
      h("h2", t("tip.sent")),
      h(
        "ul.cards.small",
        newestFirst.map((each) => h("li", card(each, tipRecipients, when.get(each.id), byThemselves.has(each.id)))),
      ),
    );
  }
  await refresh();
  const timer = setInterval(() => refresh().catch(() => {}), REFRESH_MS);
  return () => clearInterval(timer);
}

/**
 * The text of a tip's state: one that is approved is about to leave.
 *
 * @param {string} state
 */
const textOfState = (state) => (state === "approved" ? "tip.ready" : `state.${state}`);

/**
 * @param {Answer} options
 * @param {Taker[]} tipRecipients
 * @param {number | undefined} when
 * @param {boolean} endedByItself
 */
function card({ id, root, requester, state }, tipRecipients, when, endedByItself) {
  const who = tipRecipients.find((each) => each.root === root && each.id === requester)?.name ?? requester;
  const isRevocable = state === "approved" || state === "sending";
  return h(
    "article.card.request",
    h(
      "header",
      h("p.who", { dir: "auto" }, who),
      h("p.state", t(endedByItself ? "state.by-itself" : textOfState(state))),
    ),
    when && h("p.quiet", dateAndClock(when)),
    shownWith(id),
    isRevocable &&
      h("button", { type: "button", onclick: () => revoke(id, state) }, t(state === "approved" ? "revoke" : "stop")),
  );
}

/**
 * Footage that left with a tip, loaded on demand.
 *
 * @param {string} tip
 */
function shownWith(tip) {
  const place = h("div");
  /** @param {any} options */
  const show = async ({ target }) => {
    if (target.open && !place.firstChild)
      place.replaceChildren(...[await left({ disclosure: tip })].flatMap((each) => each ?? []));
  };
  return h("details", { ontoggle: show }, h("summary", t("left.show")), place);
}

/**
 * @param {string} id
 * @param {string} state
 */
async function revoke(id, state) {
  const done = await withCredential(t("revoke.title"), t(`revoke.text.${state}`), t("revoke.yes"), (credential) =>
    call("decide", { kind: "revocation", matter: { disclosure: id }, credential }),
  );
  if (done) await go("/tips", { replace: true });
}

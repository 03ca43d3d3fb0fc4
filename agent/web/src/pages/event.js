// One event: played, saved as a film, kept from the rolling vault, or deleted.

import { FormatError } from "../errors.js";
import { join } from "../media/fmp4.js";
import { play } from "../media/player.js";
import { go } from "../navigation.js";
import { ask, call } from "../ui/client.js";
import { dialog, doing, say, withCredential } from "../ui/dialogs.js";
import { h, ICONS, icon } from "../ui/dom.js";
import { canShare, download, handOver, stampOf } from "../ui/files.js";
import { everything, what, wordsOf } from "../ui/happened.js";
import { lookAt } from "../ui/posters.js";
import { filmWithRings, ringsOf } from "../ui/rings.js";
import {
  arrows,
  clock,
  date,
  dateAndClock,
  exact,
  explain,
  isRightToLeft,
  length,
  listed,
  shortDate,
  t,
} from "../ui/texts.js";

/** @import { Answer, Playable } from "../types.js" */

/** @typedef {Playable & { held?: number, whole: boolean }} Stored */

/**
 * `{event, segments, earlier, later}` of one event, as the doorbell has it now; null if all of it is gone. The
 * neighbours are undefined at the ends of the timeline.
 *
 * @param {string} name
 */
export async function readEvent(name) {
  const everyone = await everything();
  const { events } = everyone;
  const at = events.findIndex((each) => each.event === name);
  if (at < 0) return null;
  const found = events[at];
  const { segments } = await ask("list", { from_ms: found.start_ms, to_ms: found.end_ms + 1 });
  const own = segments
    .filter((/** @type {Answer} */ each) => each.event === name)
    .map((/** @type {Answer} */ { id, start_ms: start, end_ms: end, held_until_s: held, sound, whole }) => ({
      id,
      start,
      end,
      held,
      sound,
      whole,
    }));
  if (!own.length) return null;
  return {
    event: found,
    segments: own,
    rings: ringsOf(found, everyone),
    // `everything` lists the newest first.
    earlier: events[at + 1],
    later: events[at - 1],
  };
}

/**
 * @param {HTMLElement} content
 * @param {string} name
 */
export async function event(content, name) {
  const read = await readEvent(name);
  const ways = h("div.ways", h("a.back", { href: "/timeline" }, icon(...ICONS.back), t("timeline.title")));
  content.append(ways);
  if (!read) {
    content.append(h("h1", t("event.gone")), h("p", t("event.gone.text")));
    return undefined;
  }
  const { event: found, segments: own, rings, earlier, later } = read;
  // The heading names what was detected, as the timeline does, also if this page was opened first.
  if (found.poster) void lookAt(found.poster);
  const isHeard = own.some((/** @type {Answer} */ each) => each.sound);
  const video = h("video.stage", {
    controls: true,
    playsInline: true,
    muted: !isHeard,
    "aria-label": listed([wordsOf(found), dateAndClock(found.start_ms)]),
  });
  const problem = h("p.problem", { role: "alert" });
  const withSound = h("input", { type: "checkbox" });
  const save = h("button", { type: "button" }, t("event.save"));
  save.addEventListener("click", () => saveFilm(own, found, withSound.checked, save, problem));
  const share = canShare("doorward.mp4", "video/mp4") && h("button", { type: "button" }, t("event.share"));
  if (share) share.addEventListener("click", () => shareFilm(own, found, withSound.checked));
  const [keep, ...more] = keeping(own, () => go(`/timeline/${name}`, { replace: true }));
  const film = playing(video, own, rings, problem);
  ways.append(neighbours(earlier, later));
  content.append(
    h("h1", what(found), t("list", { first: "", rest: clock(found.start_ms) })),
    h("p.lead", `${date(found.start_ms)} · ${length(found.end_ms - found.start_ms)}`),
    film.element,
    problem,
    h(
      "ol.scrub",
      { "aria-label": t("event.moments") },
      own.map((/** @type {Answer} */ each, /** @type {number} */ i) =>
        h("li", h("button.small", { type: "button", onclick: () => film.start(i) }, exact(each.start))),
      ),
    ),
    isHeard ? h("label.tick", withSound, h("span", t("event.save.sound"))) : "",
    h("div.row.actions", save, share, keep, h("a.button", { href: `/tips/${name}` }, t("tip.about")), ...more),
    h("p.quiet", t(isHeard ? "event.sealed.sound" : "event.sealed")),
  );
  film.start(0);
  addEventListener("keydown", followArrows);
  return () => {
    removeEventListener("keydown", followArrows);
    film.stop();
  };
}

/**
 * The film of these segments, with its rings. `start(i)` plays from a segment on.
 *
 * @param {HTMLVideoElement} video
 * @param {Stored[]} own
 * @param {number[]} rings
 * @param {HTMLElement} problem shows what keeps it from playing
 */
function playing(video, own, rings, problem) {
  let stop = () => {};
  const film = filmWithRings(video, own, rings, startAt);
  /** @param {number} from */
  function start(from) {
    stop();
    film.began(own[from].start);
    stop = play(video, own.slice(from), (id) => call("segment", { id }), {
      hear: (id) => call("sound", { id }),
      onError: (error) => {
        problem.textContent = explain(error);
      },
    });
  }
  /** @param {number} at */
  function startAt(at) {
    const from = Math.max(0, own.filter((each) => each.start <= at).length - 1);
    const seek = () => Object.assign(video, { currentTime: Math.max(0, at - own[from].start) / 1000 });
    video.addEventListener("loadeddata", seek, { once: true });
    start(from);
  }
  return { element: film.element, start, stop: () => stop() };
}

/**
 * Links to the events before and after this one.
 *
 * @param {Answer | undefined} earlier
 * @param {Answer | undefined} later
 */
function neighbours(earlier, later) {
  /**
   * @param {string} selector
   * @param {Answer | undefined} event
   * @param {string} text
   */
  const link = (selector, event, text) =>
    event ? h(selector, { href: `/timeline/${event.event}`, title: dateAndClock(event.start_ms) }, text) : "";
  const [before, after] = arrows();
  return h(
    "div.neighbours",
    { role: "navigation", "aria-label": t("event.neighbours") },
    link("a.earlier", earlier, `${before} ${t("event.earlier")}`),
    link("a.later", later, `${t("event.later")} ${after}`),
  );
}

/**
 * The arrow keys open the neighbours. A film, a field and an open dialog keep their own arrow keys.
 *
 * @param {KeyboardEvent} pressed
 */
function followArrows(pressed) {
  const { key, target, altKey, ctrlKey, metaKey, shiftKey } = pressed;
  const isTaken = target instanceof Element && target.closest("video, input, select, textarea, dialog");
  if (isTaken || altKey || ctrlKey || metaKey || shiftKey || document.querySelector("dialog[open]")) return;
  const [earlier, later] = isRightToLeft() ? ["ArrowRight", "ArrowLeft"] : ["ArrowLeft", "ArrowRight"];
  const selector = { [earlier]: "a.earlier", [later]: "a.later" }[key];
  const link = selector && document.querySelector(`.neighbours ${selector}`);
  if (!(link instanceof HTMLElement)) return;
  pressed.preventDefault();
  link.click();
}

/**
 * Keep it from the rolling vault, let it go again, or delete it: each is the owner's to sign.
 *
 * @param {Stored[]} segments
 * @param {() => Promise<unknown>} again
 */
function keeping(segments, again) {
  const ids = segments.map((each) => each.id);
  const until = Math.max(0, ...segments.map((each) => each.held ?? 0));
  /**
   * @param {string} title
   * @param {string | string[]} text
   * @param {string} yes
   * @param {string} kind
   * @param {object} [matter]
   */
  const sign = (title, text, yes, kind, matter = {}) =>
    withCredential(title, text, yes, (credential) =>
      call("decide", { kind, matter: { segments: ids, ...matter }, credential }),
    );
  const keep = async () => {
    const days = await dialog(t("keep.title"), (close) => [
      h("p", t("keep.text")),
      h(
        "div.stack",
        [30, 90, 365].map((n) => h("button", { type: "button", onclick: () => close(n) }, t("keep.days", { n }))),
      ),
      h("div.row.end", h("button", { type: "button", onclick: () => close(undefined) }, t("cancel"))),
    ]);
    const until_s = Math.floor(Date.now() / 1000) + (days ?? 0) * 86_400;
    if (days && (await sign(t("keep.days", { n: days }), t("keep.confirm"), t("keep.yes"), "hold", { until_s })))
      await again();
  };
  const release = async () => {
    if (await sign(t("release.title"), t("release.text"), t("release.yes"), "release")) await again();
  };
  const remove = async () => {
    if (!(await sign(t("delete.title"), [t("delete.text"), t("delete.shared")], t("delete.yes"), "erasure"))) return;
    say(t("delete.done"));
    await go("/timeline", { replace: true });
  };
  return [
    until
      ? h("button", { type: "button", onclick: release }, t("release"))
      : h("button", { type: "button", onclick: keep }, t("keep")),
    h("button.danger", { type: "button", onclick: remove }, t("delete")),
    until > 0 && h("p.quiet.wide", t("keep.until", { date: shortDate(until * 1000) })),
  ].filter(Boolean);
}

/**
 * @param {Stored[]} segments
 * @param {Answer} found
 * @param {boolean} withSound
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} problem
 */
async function saveFilm(segments, found, withSound, button, problem) {
  await doing(button, problem, async () => {
    const { film, isSilent } = await filmOf(segments, found, withSound);
    if (isSilent) problem.textContent = t("error.sound-broken");
    download(film);
    say(t("event.saved"));
  });
}

/**
 * Opens an event and joins it into one file. `isSilent`: a sound failed to open.
 *
 * @param {Stored[]} segments
 * @param {Answer} found
 * @param {boolean} withSound
 */
async function filmOf(segments, found, withSound) {
  const opened = [];
  for (const { id, start, sound } of segments) {
    opened.push({
      start,
      media: (await call("segment", { id })).media,
      sound: withSound && sound ? await heard(id) : null,
    });
  }
  const film = new File([join(opened)], `doorward-${stampOf(found.start_ms)}.mp4`, { type: "video/mp4" });
  return { film, isSilent: opened.some((each) => each.sound === undefined) };
}

/**
 * Warns that the film leaves the encryption, and hands it to an app. The film is opened behind the warning, because a
 * browser allows sharing only within seconds of the tap.
 *
 * @param {Stored[]} segments
 * @param {Answer} found
 * @param {boolean} withSound
 */
async function shareFilm(segments, found, withSound) {
  await dialog(t("event.share"), (close) => {
    const problem = h("p.problem", { role: "alert" });
    const share = h("button.primary", { type: "button" }, t("event.share.yes"));
    /** @type {File | undefined} */
    let film;
    void doing(share, problem, async () => {
      const made = await filmOf(segments, found, withSound);
      film = made.film;
      if (made.isSilent) problem.textContent = t("error.sound-broken");
    }).then(() => {
      share.disabled = !film;
    });
    share.addEventListener("click", async () => {
      if (film && (await handOver(film))) close(undefined);
    });
    return [
      h("p", t("event.share.text")),
      problem,
      h("div.row.end", h("button", { type: "button", onclick: () => close(undefined) }, t("cancel")), share),
    ];
  });
}

/**
 * The sound of one moment; undefined if it fails to open. The film is then saved silent.
 *
 * @param {string} id
 */
async function heard(id) {
  try {
    return await call("sound", { id });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return undefined;
  }
}

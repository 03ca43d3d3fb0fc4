// One event: played, saved as a film, kept from the rolling vault, or deleted.

import { FormatError } from "../errors.js";
import { join } from "../media/fmp4.js";
import { play } from "../media/player.js";
import { go } from "../navigation.js";
import { ask, call } from "../ui/client.js";
import { dialog, doing, say, withCredential } from "../ui/dialogs.js";
import { h, ICONS, icon } from "../ui/dom.js";
import { clock, date, dateAndClock, exact, explain, length, shortDate, t } from "../ui/texts.js";

/** @import { Answer, Playable } from "../types.js" */

/** @typedef {Playable & { held?: number, whole: boolean }} Stored */

const EVERYTHING_MS = Number.MAX_SAFE_INTEGER;

/**
 * `{event, segments}` of one event, as the doorbell has it now; null if all of it is gone.
 *
 * @param {string} name
 */
export async function readEvent(name) {
  const { events } = await ask("events", { from_ms: 0, to_ms: EVERYTHING_MS });
  const found = events.find((/** @type {Answer} */ each) => each.event === name);
  if (!found) return null;
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
  return own.length ? { event: found, segments: own } : null;
}

/**
 * @param {HTMLElement} content
 * @param {string} name
 */
export async function event(content, name) {
  const read = await readEvent(name);
  content.append(h("a.back", { href: "/timeline" }, icon(...ICONS.back), t("timeline.title")));
  if (!read) {
    content.append(h("h1", t("event.gone")), h("p", t("event.gone.text")));
    return undefined;
  }
  const { event: found, segments: own } = read;
  const title = t(`event.${found.kind || "motion"}`);
  const isHeard = own.some((/** @type {Answer} */ each) => each.sound);
  const video = h("video.stage", {
    controls: true,
    playsInline: true,
    muted: !isHeard,
    "aria-label": `${title}, ${dateAndClock(found.start_ms)}`,
  });
  const problem = h("p.problem", { role: "alert" });
  const withSound = h("input", { type: "checkbox" });
  const save = h("button", { type: "button" }, t("event.save"));
  save.addEventListener("click", () => saveFilm(own, found, withSound.checked, save, problem));
  const [keep, ...more] = keeping(own, () => go(`/timeline/${name}`, { replace: true }));
  let stop = () => {};
  /** @param {number} from */
  const start = (from) => {
    stop();
    stop = play(video, own.slice(from), (id) => call("segment", { id }), {
      hear: (id) => call("sound", { id }),
      onError: (error) => {
        problem.textContent = explain(error);
      },
    });
  };
  content.append(
    h("h1", `${title}, ${clock(found.start_ms)}`),
    h("p.lead", `${date(found.start_ms)} · ${length(found.end_ms - found.start_ms)}`),
    video,
    problem,
    h(
      "ol.scrub",
      { "aria-label": t("event.moments") },
      own.map((/** @type {Answer} */ each, /** @type {number} */ i) =>
        h("li", h("button.small", { type: "button", onclick: () => start(i) }, exact(each.start))),
      ),
    ),
    isHeard ? h("label.tick", withSound, h("span", t("event.save.sound"))) : "",
    h("div.row.actions", save, keep, h("a.button", { href: `/tips/${name}` }, t("tip.about")), ...more),
    h("p.quiet", t(isHeard ? "event.sealed.sound" : "event.sealed")),
  );
  start(0);
  return () => stop();
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
    const opened = [];
    for (const { id, start, sound } of segments) {
      opened.push({
        start,
        media: (await call("segment", { id })).media,
        sound: withSound && sound ? await heard(id) : null,
      });
    }
    if (opened.some((each) => each.sound === undefined)) problem.textContent = t("error.sound-broken");
    const url = URL.createObjectURL(new Blob([join(opened)], { type: "video/mp4" }));
    const stamp = new Date(found.start_ms).toISOString().slice(0, 19).replaceAll(/[T:]/g, "-");
    h("a", { href: url, download: `doorward-${stamp}.mp4` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    say(t("event.saved"));
  });
}

/**
 * The sound of one moment; undefined if it does not open. The film is then saved silent.
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

// A clip as it will be sent: the new films that the worker made, picture by picture, and the sounds with their mutes.
import { call } from "../ui/client.js";
import { dialog } from "../ui/dialogs.js";
import { h } from "../ui/dom.js";
import { FilmSteps } from "../ui/film_steps.js";
import { exact, explain, t } from "../ui/texts.js";

/** @import { Bytes, Clip, Covering, Planned, Review } from "../types.js" */
/** @typedef {{ file: "segment" | "sound", id: string }} Made a file that the owner redacts */

/**
 * Shows the clip until the owner closes it. Throws what is wrong with the plan.
 *
 * @param {Review} review
 * @param {{ number: number, clip: Clip, drafts: Planned[], covering: Covering }} covered
 */
export async function lookAtRedacted(review, { number, clip, drafts, covering: { exact: isExact } }) {
  const plans = { [clip.event]: drafts };
  const files = await call("redactedBy", { id: review.id, plans });
  /** @param {"segment" | "sound"} file */
  const made = (file) => new Set(files.filter((each) => each.file === file).map(({ id }) => id));
  const films = made("segment");
  /**
   * @param {"segment" | "sound"} file
   * @param {string} segment
   */
  const redacted = (file, segment) => call("redact", { id: review.id, file, segment, plans, exact: isExact });
  const problem = h("p.problem", { role: "alert" });
  const making = h("p.quiet.making", { role: "status" });
  const film = new FilmSteps(
    clip.segments,
    async (id) => {
      if (!films.has(id)) return (await call("segment", { id })).media;
      making.textContent = t("cover.making.title");
      return redacted("segment", id).finally(() => (making.textContent = ""));
    },
    { onShow: () => {}, onError: (error) => (problem.textContent = explain(error)) },
  );
  film.show(0);
  const sounds = clip.segments.filter(({ id }) => made("sound").has(id));
  await dialog(t("cover.look.title", { number }), (close) =>
    h(
      "div.covering",
      h("p.help", t("cover.look.text")),
      h("div.film", { role: "group", "aria-label": t("cover.look.picture") }, film.canvas),
      film.controls,
      making,
      sounds.length > 0 &&
        h(
          "details",
          h("summary", t("cover.look.sounds")),
          sounds.map(({ id, start }) => heard(exact(start), () => redacted("sound", id), problem)),
        ),
      problem,
      h("div.row.end", h("button.primary", { type: "button", onclick: () => close(undefined) }, t("cover.done"))),
    ),
  );
}

/**
 * A sound, loaded when an owner wants to hear it.
 *
 * @param {string} time
 * @param {() => Promise<Bytes>} load
 * @param {HTMLElement} problem
 */
function heard(time, load, problem) {
  const audio = h("audio", { controls: true, hidden: true, "aria-label": t("clip.hear-moment", { time }) });
  const hear = async () => {
    problem.textContent = "";
    try {
      audio.src = URL.createObjectURL(new Blob([await load()], { type: "audio/mp4" }));
      audio.hidden = false;
      await audio.play();
    } catch (error) {
      problem.textContent = explain(error);
    }
  };
  return h("div.row", h("button.small", { type: "button", onclick: hear }, t("clip.hear-moment", { time })), audio);
}

/**
 * Lets the worker make these files, and shows which one it is at. False if the owner stopped it. Throws why one cannot
 * be made, with the segment among the error's values.
 *
 * @param {Review} review
 * @param {Made[]} files
 * @param {Covering} covering
 */
export async function makeRedacted(review, files, covering) {
  if (!files.length) return true;
  let isStopped = false;
  /** @type {unknown} */
  let failure;
  const progress = h("p", { role: "status" });
  const bar = h("progress", { max: files.length, value: 0, "aria-label": t("cover.making.title") });
  const isDone = await dialog(t("cover.making.title"), (close) => {
    const make = async () => {
      for (const [i, { file, id }] of files.entries()) {
        if (isStopped) return;
        progress.textContent = t("cover.making", { number: i + 1, count: files.length });
        bar.value = i;
        await call("redact", { id: review.id, file, segment: id, ...covering }).catch((error) => {
          throw Object.assign(error, { values: { ...error.values, segment: id } });
        });
      }
      close(true);
    };
    make().catch((error) => {
      failure = error;
      close(undefined);
    });
    return h(
      "div",
      h("p", t("cover.making.text")),
      progress,
      bar,
      h("div.row.end", h("button", { type: "button", onclick: () => close(undefined) }, t("cancel"))),
    );
  });
  isStopped = true;
  if (failure) throw failure;
  return isDone === true;
}

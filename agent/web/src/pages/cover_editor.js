// Where an owner covers parts of a clip and mutes its sound before a yes: the film picture by picture, covers drawn on
// it or typed, and when each begins, ends and moves. Every change is kept in `drafts`, also if the dialog is dismissed.
import {
  between,
  changed,
  handOf,
  isThere,
  isUnsure,
  newCover,
  newMute,
  rectangleAt,
  rectangleOf,
  typed,
  withFollowed,
  withoutPlace,
  withPlace,
} from "../owner/cover_draft.js";
import { call } from "../ui/client.js";
import { dialog } from "../ui/dialogs.js";
import { h, svg } from "../ui/dom.js";
import { FilmSteps } from "../ui/film_steps.js";
import { explain, secondsOf, t } from "../ui/texts.js";
import { MOST_REDACTIONS, WHOLE } from "../wire/redactions.js";
import { lookAtRedacted } from "./cover_preview.js";

/** @import { Clip, Covering, Review } from "../types.js" */
/** @import { Draft, Rectangle } from "../owner/cover_draft.js" */
/** @import * as Wire from "../wire/generated.js" */
/**
 * @typedef {{ number: number, clip: Clip, drafts: Draft[], covering: Covering }} Covered a clip and what is drawn on
 *   it. `covering`: the same of all clips of the answer
 */

const KINDS = /** @type {const} */ (["face", "plate", "area"]);
const PERCENT = WHOLE / 100;
/** Radius of the handle that a finger drags (WCAG 2.2, 2.5.8: at least 24 pixels wide). */
const HANDLE_PX = 12;

/**
 * Shows the editor of a clip until the owner is done.
 *
 * @param {Review} review
 * @param {Covered} covered
 */
export const coverClip = (review, covered) =>
  dialog(t("cover.title", { number: covered.number }), (close) =>
    new CoverEditor(review, covered).element(() => close(undefined)),
  );

class CoverEditor {
  /** @type {Review} */
  #review;
  /** @type {Covered} */
  #covered;
  /** @type {Draft[]} */
  #drafts;
  /** @type {FilmSteps} */
  #film;
  /** @type {Draft | undefined} */
  #chosen;
  #covers = svg("svg", { viewBox: `0 0 ${WHOLE} ${WHOLE}`, preserveAspectRatio: "none", class: "covers" });
  #list = h("ul.plain.cover-list");
  #problem = h("p.problem", { role: "alert" });
  #progress = h("p.quiet.making", { role: "status" });
  #suggest = h("button", { type: "button", onclick: () => this.#addSuggested() }, t("cover.suggest"));
  #plates = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox" }));
  /** @type {Set<Draft>} Covers that were suggested and that the owner has not changed. */
  #suggested = new Set();
  /** @type {((share: [number, number]) => void) | undefined} What the pointer does while it is down. */
  #drag;
  /** The covers stay as they are while one of them follows. */
  #isFollowing = false;

  /**
   * @param {Review} review
   * @param {Covered} covered
   */
  constructor(review, covered) {
    this.#review = review;
    this.#covered = covered;
    this.#drafts = covered.drafts;
    this.#film = new FilmSteps(covered.clip.segments, async (id) => (await call("segment", { id })).media, {
      onShow: () => this.#redraw(),
      onError: (error) => {
        this.#problem.textContent = explain(error);
      },
    });
  }

  /** @param {() => void} done */
  element(done) {
    this.#listen();
    this.#film.show(0);
    this.#rows();
    /** @param {Draft} draft */
    const add = (draft) => () => this.#add(draft);
    return h(
      "div.covering",
      h("p.help", t("cover.how")),
      h("div.film", { role: "group", "aria-label": t("cover.picture") }, this.#film.canvas, this.#covers),
      this.#film.controls,
      h(
        "div.row",
        h(
          "button",
          { type: "button", onclick: () => this.#add(newCover(this.#film.atMs, this.#film.lengthMs)) },
          t("cover.add"),
        ),
        this.#suggest,
        h("label", this.#plates, ` ${t("cover.suggest.plates")}`),
        this.#covered.clip.segments.some(({ sound }) => sound) &&
          h("button", { type: "button", onclick: add(newMute(this.#film.lengthMs)) }, t("cover.mute")),
      ),
      this.#progress,
      this.#list,
      this.#problem,
      h("p.quiet", t("cover.only")),
      this.#exactOption(),
      h(
        "div.row.end",
        h("button", { type: "button", onclick: () => this.#look() }, t("cover.look")),
        h("button.primary", { type: "button", onclick: done }, t("cover.done")),
      ),
    );
  }

  /** One choice for all films of the answer, as in a plan of the command line. */
  #exactOption() {
    const { covering } = this.#covered;
    /** @type {HTMLInputElement} */
    const box = h("input", {
      type: "checkbox",
      checked: covering.exact,
      onchange: () => {
        covering.exact = box.checked;
      },
    });
    return h("label.choice", box, h("span", t("cover.exact"), h("small", t("cover.exact.text"))));
  }

  async #look() {
    this.#problem.textContent = "";
    try {
      await lookAtRedacted(this.#review, this.#covered);
    } catch (error) {
      this.#problem.textContent = explain(error);
    }
  }

  /** Looks for faces, and plates if asked, film by film, and adds a cover for each in place of earlier suggestions. */
  async #addSuggested() {
    const { segments } = this.#covered.clip;
    this.#problem.textContent = "";
    this.#suggest.disabled = true;
    try {
      const run = await call("beginSuggesting", { plates: this.#plates.checked });
      for (const [i, { id, lengthMs }] of segments.entries()) {
        this.#progress.textContent = t("cover.suggesting", { number: i + 1, count: segments.length });
        await call("suggestIn", { run, id, lengthMs });
        if (!this.#list.isConnected) return; // the dialog was closed
      }
      const most = MOST_REDACTIONS - this.#own().length;
      this.#takeSuggested(most > 0 ? await call("suggestions", { run, most }) : []);
      if (most <= 0) this.#problem.textContent = t("error.plan-many", { most: MOST_REDACTIONS });
    } catch (error) {
      this.#progress.textContent = "";
      this.#problem.textContent = explain(error);
    } finally {
      this.#suggest.disabled = false;
    }
  }

  /** Lets the chosen cover go with what is below it. */
  async #follow() {
    const draft = this.#chosen;
    if (!draft) return;
    const { segments } = this.#covered.clip;
    const lengths = segments.map(({ lengthMs }) => lengthMs);
    this.#problem.textContent = "";
    this.#progress.textContent = "";
    this.#holdStill(true);
    try {
      const cover = { hand: handOf(draft), from: draft.from_ms, until: draft.until_ms, lengths };
      const { run, order } = await call("beginFollowing", cover);
      for (const [i, film] of order.entries()) {
        this.#progress.textContent = t("cover.following", { number: i + 1, count: order.length });
        await call("followIn", { run, id: segments[film].id });
        if (!this.#list.isConnected) return; // the dialog was closed
      }
      const found = await call("followed", { run });
      if (!found) return;
      const made = withFollowed(draft, found);
      this.#drafts[this.#drafts.indexOf(draft)] = made;
      this.#chosen = made;
      this.#progress.textContent = found.unsure.length ? t("cover.followed.unsure") : t("cover.followed");
    } catch (error) {
      this.#progress.textContent = "";
      this.#problem.textContent = explain(error);
    } finally {
      this.#holdStill(false);
      this.#rows();
      /** @type {HTMLElement | null} */ (this.#list.querySelector(".follow"))?.focus();
    }
  }

  /** @param {boolean} isFollowing */
  #holdStill(isFollowing) {
    this.#isFollowing = isFollowing;
    this.#suggest.disabled = isFollowing;
    this.#list.inert = isFollowing;
  }

  #own() {
    return this.#drafts.filter((draft) => !this.#suggested.has(draft));
  }

  /** @param {Draft[]} found */
  #takeSuggested(found) {
    this.#drafts.splice(0, this.#drafts.length, ...this.#own(), ...found);
    this.#suggested = new Set(found);
    this.#chosen = found[0] ?? this.#chosen;
    this.#progress.textContent = found.length ? t("cover.suggested", { n: found.length }) : t("cover.suggested.none");
    this.#rows();
    if (this.#chosen) this.#film.show(this.#chosen.from_ms);
  }

  // Drawing

  #listen() {
    const picture = this.#covers;
    picture.addEventListener("pointerdown", (event) => {
      if (this.#isFollowing) return;
      picture.setPointerCapture(event.pointerId);
      this.#begin(event);
      event.preventDefault();
    });
    picture.addEventListener("pointermove", (event) => this.#drag?.(this.#shareOf(event)));
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"]))
      picture.addEventListener(end, () => {
        this.#drag = undefined;
        this.#rows();
      });
  }

  /** @param {PointerEvent} event */
  #begin(event) {
    const start = this.#shareOf(event);
    const target = /** @type {SVGElement} */ (event.target);
    const draft = this.#drafts[Number(target.dataset.draft ?? Number.NaN)];
    if (!draft) {
      this.#drag = this.#drawing(start);
      return;
    }
    this.#choose(draft);
    const from = rectangleAt(draft, this.#film.atMs);
    const grows = target.classList.contains("handle");
    this.#drag = (share) => {
      const [right, down] = [share[0] - start[0], share[1] - start[1]];
      this.#place(changed(from, grows ? { wider: right, higher: down } : { right, down }));
    };
  }

  /**
   * Draws a new cover from the corner `start`. A click makes none.
   *
   * @param {[number, number]} start
   * @returns {(share: [number, number]) => void}
   */
  #drawing(start) {
    this.#chosen = undefined;
    let isAdded = false;
    return (share) => {
      const rectangle = rectangleOf(start, share);
      if (!rectangle) return;
      if (!isAdded) this.#add(newCover(this.#film.atMs, this.#film.lengthMs, rectangle), false);
      isAdded = true;
      this.#place(rectangle);
    };
  }

  /**
   * Pointer position, as shares of the picture.
   *
   * @param {PointerEvent} event
   * @returns {[number, number]}
   */
  #shareOf(event) {
    const box = this.#covers.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  /** @param {Rectangle} rectangle of the chosen cover at the shown moment */
  #place(rectangle) {
    if (this.#chosen) this.#change(withPlace(this.#chosen, this.#film.atMs, rectangle));
  }

  #redraw() {
    const { atMs } = this.#film;
    const shapes = this.#drafts.flatMap((draft, i) => {
      if (draft.kind === "voice" || !isThere(draft, atMs)) return [];
      const [x, y, width, height] = rectangleAt(draft, atMs).map(String);
      const own = { "data-draft": String(i) };
      const isChosen = draft === this.#chosen;
      const classes = ["cover", isChosen && "chosen", isUnsure(draft, atMs) && "unsure"].filter(Boolean).join(" ");
      const cover = svg("rect", { x, y, width, height, class: classes, ...own });
      if (!isChosen) return [cover];
      const corner = { cx: String(Number(x) + Number(width)), cy: String(Number(y) + Number(height)) };
      const { width: columns, height: rows } = this.#film.canvas; // a circle on the picture, whatever its shape
      const radius = (HANDLE_PX * WHOLE) / (this.#covers.clientWidth || 360);
      const radii = { rx: String(radius), ry: String((radius * columns) / rows) };
      return [cover, svg("ellipse", { ...corner, ...radii, class: "handle", ...own })];
    });
    this.#covers.replaceChildren(...shapes);
    for (const update of this.#fields) update();
  }

  // The list

  /** @type {(() => void)[]} Bring the fields of the chosen cover up to the shown moment. */
  #fields = [];

  /**
   * @param {Draft} draft
   * @param {boolean} [isListed] false while it is being drawn
   */
  #add(draft, isListed = true) {
    if (this.#drafts.length >= MOST_REDACTIONS) {
      this.#problem.textContent = t("error.plan-many", { most: MOST_REDACTIONS });
      return;
    }
    this.#drafts.push(draft);
    this.#chosen = draft;
    if (isListed) this.#rows();
  }

  /** @param {Draft} draft in place of the chosen one */
  #change(draft) {
    if (!this.#chosen) return;
    this.#drafts[this.#drafts.indexOf(this.#chosen)] = draft;
    this.#chosen = draft;
    this.#redraw();
  }

  /** @param {Draft} draft */
  #choose(draft) {
    this.#chosen = draft;
    this.#rows();
  }

  #rows() {
    this.#fields = [];
    this.#list.replaceChildren(...this.#drafts.map((draft, i) => this.#row(draft, i)));
    this.#redraw();
  }

  /**
   * @param {Draft} draft
   * @param {number} i
   */
  #row(draft, i) {
    const isChosen = draft === this.#chosen;
    const name = h("span");
    const title = h(
      "button.link",
      { type: "button", "aria-expanded": String(isChosen), onclick: () => this.#choose(draft) },
      name,
    );
    const write = () => {
      const now = this.#drafts[i];
      const span = { kind: t(`cover.${now.kind}`), from: secondsOf(now.from_ms), until: secondsOf(now.until_ms) };
      name.textContent = `${i + 1}. ${t("cover.name", span)}`;
    };
    write();
    if (isChosen) this.#fields.push(write);
    const remove = h(
      "button.small",
      { type: "button", "aria-label": t("cover.remove.which", { number: i + 1 }), onclick: () => this.#remove(i) },
      t("cover.remove"),
    );
    const mark = draft.unsure?.length ? h("small.unsure", t("cover.unsure")) : null;
    return h("li", h("div.row.between", h("span", title, mark), remove), isChosen && this.#details(draft));
  }

  /** @param {number} i */
  #remove(i) {
    if (this.#drafts[i] === this.#chosen) this.#chosen = undefined;
    this.#drafts.splice(i, 1);
    this.#rows();
  }

  /** @param {Draft} draft the chosen one */
  #details(draft) {
    return h(
      "div.cover-details",
      draft.kind !== "voice" && this.#kindField(draft),
      h("div.pair", this.#timeField("from_ms", "from"), this.#timeField("until_ms", "until")),
      draft.kind !== "voice" && [this.#placeFields(), this.#followFields(draft)],
    );
  }

  /** @param {Draft} draft the chosen one */
  #followFields(draft) {
    const stretches = (draft.unsure ?? []).map(([from, until]) =>
      h(
        "button.small",
        { type: "button", onclick: () => this.#lookAt(from) },
        t("cover.unsure.at", { from: secondsOf(from), until: secondsOf(until) }),
      ),
    );
    return h(
      "div.following",
      h("button.follow", { type: "button", onclick: () => this.#follow() }, t("cover.follow")),
      h("p.help", t("cover.follow.how")),
      h("div.row", stretches),
    );
  }

  /** @param {number} atMs */
  #lookAt(atMs) {
    this.#film.show(atMs);
    this.#film.canvas.scrollIntoView({ block: "center" }); // WebKit would scroll past the SVG, to the dialog's end
  }

  /** @param {Draft} draft */
  #kindField(draft) {
    const field = h(
      "select",
      {
        id: "cover-kind",
        onchange: () => {
          if (this.#chosen) this.#change({ ...this.#chosen, kind: /** @type {Wire.RedactionKind} */ (field.value) });
        },
      },
      KINDS.map((each) => h("option", { value: each, selected: each === draft.kind }, t(`cover.${each}`))),
    );
    return [h("label", { for: "cover-kind" }, t("cover.kind")), field];
  }

  /**
   * @param {"from_ms" | "until_ms"} end
   * @param {"from" | "until"} name
   */
  #timeField(end, name) {
    const field = numberField(`cover-${name}`, this.#film.lengthMs / 1000, "0.01", () =>
      set(typed(end, Number(field.value))),
    );
    /** @param {number} atMs */
    const set = (atMs) => {
      if (!this.#chosen) return;
      const { from_ms: from, until_ms: until } = this.#chosen;
      const span = end === "from_ms" ? [Math.min(atMs, until - 1), until] : [from, Math.max(atMs, from + 1)];
      this.#change(between(this.#chosen, span[0], span[1], this.#film.lengthMs));
    };
    this.#show(field, () => ((this.#chosen?.[end] ?? 0) / 1000).toFixed(2));
    return h(
      "div",
      h("label", { for: field.id }, t(`cover.${name}`)),
      field,
      h("button.small", { type: "button", onclick: () => set(this.#film.atMs) }, t(`cover.${name}.here`)),
    );
  }

  /** The same by keyboard: the place at the shown moment, in percent of the picture. */
  #placeFields() {
    const sides = /** @type {const} */ (["left", "top", "width", "height"]);
    const moves = h("p.help");
    const fields = sides.map((side, i) => {
      const field = numberField(`cover-${side}`, 100, "0.5", () => {
        if (!this.#chosen) return;
        const next = rectangleAt(this.#chosen, this.#film.atMs);
        next[i] = Math.round(Number(field.value) * PERCENT);
        this.#place(changed(next, {}));
      });
      this.#show(field, () => (this.#chosen ? rectangleAt(this.#chosen, this.#film.atMs)[i] / PERCENT : 0).toFixed(1));
      return h("div", h("label", { for: field.id }, t(`cover.${side}`)), field);
    });
    const forget = h(
      "button.small",
      {
        type: "button",
        onclick: () => this.#chosen && this.#change(withoutPlace(this.#chosen, this.#film.atMs)),
      },
      t("cover.forget"),
    );
    this.#fields.push(() => {
      if (!this.#chosen) return;
      const { places } = this.#chosen;
      const isHere = isThere(this.#chosen, this.#film.atMs);
      for (const input of fieldset.querySelectorAll("input")) input.disabled = !isHere;
      moves.textContent = t("cover.places", { n: places.length });
      forget.disabled = places.length < 2 || !places.some(([at]) => at === this.#film.atMs);
    });
    const fieldset = h("div", h("div.quarters", fields), moves, forget);
    return fieldset;
  }

  /**
   * Keeps a field at its value, except while the owner types in it.
   *
   * @param {HTMLInputElement} field
   * @param {() => string} value
   */
  #show(field, value) {
    const write = () => {
      if (document.activeElement !== field) field.value = value();
    };
    field.addEventListener("blur", write);
    this.#fields.push(write);
  }
}

/**
 * @param {string} id
 * @param {number} most
 * @param {string} step
 * @param {() => void} onchange
 */
const numberField = (id, most, step, onchange) =>
  h("input", { id, type: "number", min: "0", max: String(most), step, inputmode: "decimal", onchange });

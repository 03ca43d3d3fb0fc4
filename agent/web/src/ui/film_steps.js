// The pictures of a clip one by one: a slider, a button back and one on, and the moment in words.
import { FilmFrames } from "../media/film_frames.js";
import { h, ICONS, icon } from "./dom.js";
import { secondsOf, t } from "./texts.js";

/** @import { Bytes } from "../types.js" */

export class FilmSteps {
  atMs = 0;
  #frames;
  #onShow;

  /**
   * @param {{ id: string, lengthMs: number }[]} parts
   * @param {(id: string) => Promise<Bytes>} load
   * @param {{ onShow: (atMs: number) => void, onError: (error: unknown) => void }} told
   */
  constructor(parts, load, { onShow, onError }) {
    this.canvas = h("canvas");
    this.#onShow = onShow;
    this.#frames = new FilmFrames(this.canvas, parts, load, { onShow: (atMs) => this.#shown(atMs), onError });
    this.lengthMs = this.#frames.lengthMs;
    /** @type {HTMLInputElement} */
    this.slider = h("input", {
      type: "range",
      min: "0",
      max: String(this.lengthMs),
      step: "1",
      value: "0",
      "aria-label": t("cover.moment"),
      oninput: () => this.#frames.show(Number(this.slider.value)),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    });
    this.moment = h("output.moment");
    /**
     * @param {1 | -1} by
     * @param {string} label
     */
    const button = (by, label) =>
      h(
        `button.small.step${by > 0 ? ".on" : ""}`,
        { type: "button", "aria-label": label, onclick: () => this.#frames.step(by) },
        icon(...ICONS.back),
      );
    this.controls = h(
      "div.row.steps-of-film",
      button(-1, t("cover.step-back")),
      this.slider,
      button(1, t("cover.step-on")),
      this.moment,
    );
  }

  /** @param {number} atMs */
  show(atMs) {
    this.#frames.show(atMs);
  }

  /**
   * An arrow on the slider is one picture.
   *
   * @param {KeyboardEvent} event
   */
  #key(event) {
    const by = /** @type {Record<string, 1 | -1>} */ ({
      ArrowRight: 1,
      ArrowUp: 1,
      ArrowLeft: -1,
      ArrowDown: -1,
    })[event.key];
    if (!by) return;
    event.preventDefault();
    this.#frames.step(by);
  }

  /** @param {number} atMs */
  #shown(atMs) {
    this.atMs = atMs;
    this.slider.value = String(atMs);
    const words = t("cover.at", { at: secondsOf(atMs), length: secondsOf(this.lengthMs) });
    this.slider.setAttribute("aria-valuetext", words);
    this.moment.textContent = words;
    this.#onShow(atMs);
  }
}

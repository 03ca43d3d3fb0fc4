// A trial of the settings on a film, which is opened, played and analysed in this browser and stays there.

import { detectMotion, differences, GRID, sample } from "../media/motion_preview.js";
import { play } from "../media/player.js";
import { ask, call } from "../ui/client.js";
import { h } from "../ui/dom.js";
import { wordsOf } from "../ui/happened.js";
import { dateAndClock, explain, minutes, t } from "../ui/texts.js";

/** @import { Answer, Sample, Zone } from "../types.js" */

const EVERYTHING_MS = Number.MAX_SAFE_INTEGER;
const MOST_EVENTS = 20;
/** Seconds from one sample of a film to the next, as `sample` takes them. */
const SAMPLE_S = 0.15;
/** Red, green, blue and opacity of a cell in which something moved. */
const MARK = [80, 255, 170, 150];

export class DetectionTrial {
  #settings;
  #video;
  #cells;
  #verdicts;
  #choice;
  #problem;
  /** @type {Sample[]} */
  #samples;
  /** @type {Answer[]} */
  #events;
  #stop;

  /** @param {() => { zones: Zone[], sensitivity: number, smallestPerson: number }} settings as they are being drawn */
  constructor(settings) {
    this.#settings = settings;
    this.#video = h("video", { muted: true, playsInline: true, "aria-label": t("seen.film") });
    this.#cells = h("canvas", { width: GRID.width, height: GRID.height, "aria-hidden": "true" });
    this.#verdicts = h("ul.plain.seen");
    this.#choice = h("select", { id: "seen-event", onchange: () => this.#watch() });
    this.#problem = h("p.problem", { role: "alert" });
    this.#samples = [];
    this.#events = [];
    this.#stop = () => {};
    this.element = this.#makeElement();
  }

  #makeElement() {
    const body = h(
      "div",
      h("label", { for: "seen-event" }, t("seen.which")),
      this.#choice,
      h("div.frame.trial", this.#video, this.#cells),
      h("div", { role: "status" }, this.#verdicts),
      this.#problem,
    );
    const element = h("details.try", h("summary", t("seen")), h("p.quiet", t("seen.text")), body);
    element.addEventListener("toggle", () => (element.open ? this.#begin() : this.#stop()));
    return element;
  }

  /** Offers the newest events, and plays the first of them. */
  async #begin() {
    try {
      this.#events = (await ask("events", { from_ms: 0, to_ms: EVERYTHING_MS })).events.slice(0, MOST_EVENTS);
      this.#choice.replaceChildren(
        ...this.#events.map((event) =>
          h("option", { value: event.event }, `${dateAndClock(event.start_ms)} · ${wordsOf(event)}`),
        ),
      );
      if (this.#events.length) await this.#watch();
      else this.#verdicts.replaceChildren(h("li", t("timeline.none")));
    } catch (error) {
      this.#problem.textContent = explain(error);
    }
  }

  async #watch() {
    this.#stop();
    this.#samples = [];
    const event = this.#events.find((each) => each.event === this.#choice.value);
    const { segments } = await ask("list", { from_ms: event.start_ms, to_ms: event.end_ms + 1 });
    const own = segments
      .filter((/** @type {Answer} */ each) => each.event === event.event)
      .map((/** @type {Answer} */ { id, start_ms: start, end_ms: end }) => ({ id, start, end }));
    const looking = new AbortController();
    /** @param {any} error */
    const onError = (error) => {
      this.#problem.textContent = explain(error);
    };
    const end = play(this.#video, own, (id) => call("segment", { id }), { onError });
    this.#stop = () => {
      looking.abort();
      end();
    };
    void sample(this.#video, looking.signal, (one) => this.#take(one), SAMPLE_S);
  }

  /** @param {Sample} one */
  #take(one) {
    // Stops after the user has left the page.
    if (!this.element.isConnected) {
      this.#stop();
      return;
    }
    this.#samples.push(one);
    this.judge();
  }

  /** Says of each zone whether the film would have been noticed in it, as it is drawn now. */
  judge() {
    if (!this.#samples.length) return;
    const { zones, sensitivity, smallestPerson } = this.#settings();
    const found = detectMotion(differences(this.#samples), zones, sensitivity, smallestPerson);
    this.#mark(found.flatMap((zone) => zone.cells.slice(-1)));
    this.#verdicts.replaceChildren(...found.map(verdict));
  }

  /**
   * Marks the cells of the newest sample in which something moves.
   *
   * @param {Float32Array[]} layers
   */
  #mark(layers) {
    const context = this.#cells.getContext("2d");
    if (!context) return;
    const image = context.createImageData(GRID.width, GRID.height);
    for (const layer of layers) {
      for (const [cell, isMoving] of layer.entries()) if (isMoving) image.data.set(MARK, cell * 4);
    }
    context.putImageData(image, 0, 0);
  }
}

/** @param {{ name: string, times: number[] }} options */
function verdict({ name, times }) {
  const length = t("length.seconds", { n: Math.max(1, Math.round(times.length * SAMPLE_S)) });
  const said = times.length ? t("seen.yes", { at: minutes(times[0] * 1000), length }) : t("seen.no");
  return h("li", h("b", name || t("seen.everywhere")), " ", said);
}

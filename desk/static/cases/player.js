// Plays the clips of several doors at once by their capture times. One clock runs for all doors. Each tile shows its
// door's film at that time, or says why there is none. A film is opened when the clock reaches it, and the server
// writes each opening to the custody log. So a person who only looks at the page opens nothing.
import { clipAt, filmSeconds, gapAt, isFilmed, nextFilm } from "./capture_clock.js";

/** @import { Clip, Door } from "./capture_clock.js" */

/** @typedef {Record<string, string>} Texts */
/** @typedef {{ from: number, to: number, zone: string, language: string, doors: Door[], texts: Texts }} PlayerData */

const DRIFT_S = 0.3;
/** A film that differs from the clock by more than this is moved. Less would be seen as stuttering. */
const SETTLE_MS = 300;
/** After a change of the slider by keyboard, wait for the next one before films are opened. */
const ENOUGH = 3;
/** `HTMLMediaElement.HAVE_FUTURE_DATA`: the film can play on from here. */

/**
 * Replaces `{name}` in a text.
 *
 * @param {string} text
 * @param {Record<string, string>} values
 */
const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

/**
 * @param {PlayerData} data
 * @returns {(at: number) => string}
 */
function clockOf({ zone, language }) {
  const format = new Intl.DateTimeFormat(language, {
    timeZone: zone,
    year: "numeric",
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hour12: false,
    timeZoneName: "short",
  });
  return (at) => format.format(at);
}

/**
 * Opens a clip for viewing. The server writes the opening to the custody log, then names the film's address.
 *
 * @param {string} address
 * @returns {Promise<{ film: string }>}
 */
async function openFilm(address) {
  const token = /** @type {HTMLInputElement} */ (document.querySelector("[name=csrfmiddlewaretoken]")).value;
  const response = await fetch(address, {
    method: "POST",
    headers: { "X-CSRFToken": token, Accept: "application/json" },
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.message ?? `${response.status}`);
  return answer;
}

/** The film of one door. */
class Tile {
  /** @type {Clip | undefined} */
  #clip;
  #isReady = false;
  #isFailed = false;

  /**
   * @param {HTMLElement} figure
   * @param {Door} door
   * @param {(at: number) => string} clock
   * @param {Texts} texts
   * @param {() => void} changed Called when a film is ready or has failed.
   */
  constructor(figure, door, clock, texts, changed) {
    this.figure = figure;
    this.door = door;
    this.clock = clock;
    this.texts = texts;
    this.video = /** @type {HTMLVideoElement} */ (figure.querySelector("video"));
    this.said = /** @type {HTMLElement} */ (figure.querySelector("[data-said]"));
    this.quality = /** @type {HTMLElement} */ (figure.querySelector("[data-clock]"));
    this.changed = changed;
    this.video.addEventListener("error", () => this.#fail(texts.broken));
    this.video.addEventListener("loadeddata", changed);
    const mute = /** @type {HTMLButtonElement | null} */ (figure.querySelector("[data-mute]"));
    mute?.addEventListener("click", () => {
      this.video.muted = !this.video.muted;
      mute.setAttribute("aria-pressed", String(!this.video.muted));
    });
  }

  /** True while the clock has to wait for this film. */
  isWaiting() {
    const isOpening = this.#clip && !this.#isFailed && !this.figure.hidden;
    return Boolean(
      isOpening && this.isShown && (!this.#isReady || this.video.readyState < ENOUGH || this.video.seeking),
    );
  }

  isShown = false;

  /**
   * Shows the time `at`. A film that is not open yet is opened only if `mayOpen`.
   *
   * @param {number} at
   * @param {{ isPlaying: boolean, rate: number, mayOpen: boolean }} how
   */
  show(at, { isPlaying, rate, mayOpen }) {
    const clip = clipAt(this.door.clips, at);
    const seconds = clip ? filmSeconds(clip.segments, at) : null;
    this.isShown = seconds !== null;
    const without = clip ? "gap" : "nothing";
    this.figure.dataset.shows = this.isShown ? "film" : without;
    this.quality.textContent = clip?.clock ?? "";
    if (!clip || seconds === null) {
      this.video.pause();
      this.#say(clip ? this.#gap(clip, at) : this.texts.nothing);
      return;
    }
    if (clip !== this.#clip && mayOpen) this.#open(clip);
    if (clip !== this.#clip) {
      this.video.pause();
      this.figure.dataset.shows = "closed";
      this.#say(filled(this.texts.closed, { clip: clip.label }));
      return;
    }
    if (this.#isFailed) return;
    this.#say(this.#isReady ? "" : this.texts.opening);
    this.#follow(seconds, isPlaying, rate);
  }

  /**
   * @param {number} seconds
   * @param {boolean} isPlaying
   * @param {number} rate
   */
  #follow(seconds, isPlaying, rate) {
    if (!this.#isReady) return;
    const { video } = this;
    const end = Number.isFinite(video.duration) ? Math.max(0, video.duration - 0.05) : seconds;
    const place = Math.min(seconds, end);
    if (!video.seeking && Math.abs(video.currentTime - place) > (isPlaying ? DRIFT_S * rate : 0.01))
      video.currentTime = place;
    video.playbackRate = rate;
    // A browser may refuse to play before a click. The next frame tries again.
    if (isPlaying && video.paused && place < end) video.play().catch(() => {});
    if (!isPlaying && !video.paused) video.pause();
  }

  /** @param {Clip} clip */
  #open(clip) {
    this.#clip = clip;
    this.#isReady = false;
    this.#isFailed = false;
    this.video.removeAttribute("src");
    openFilm(clip.watch).then(
      ({ film }) => {
        // A person may have gone to another clip while the desk opened this one.
        if (clip !== this.#clip) return;
        this.video.src = film;
        this.video.load();
        this.#isReady = true;
        this.changed();
      },
      (error) => clip === this.#clip && this.#fail(error.message),
    );
  }

  /** @param {string} reason */
  #fail(reason) {
    this.#isFailed = true;
    this.figure.dataset.shows = "broken";
    this.#say(filled(this.texts.failed, { reason }));
  }

  /**
   * @param {Clip} clip
   * @param {number} at
   */
  #gap(clip, at) {
    const [from, to] = gapAt(clip, at);
    return filled(this.texts.gap, { from: this.clock(from), to: this.clock(to) });
  }

  /** @param {string} text */
  #say(text) {
    if (this.said.textContent !== text) this.said.textContent = text;
  }
}

/** The time axis above the player: it shows the place of the clock, and a click on it moves the clock there. */
class Axis {
  /**
   * @param {SVGSVGElement} svg
   * @param {(at: number) => void} seek
   */
  constructor(svg, seek) {
    this.from = Number(svg.dataset.from);
    this.to = Number(svg.dataset.to);
    this.line = document.createElementNS(svg.namespaceURI, "line");
    this.line.setAttribute("class", "here");
    this.line.setAttribute("y1", "0");
    this.line.setAttribute("y2", "100%");
    svg.append(this.line);
    svg.classList.add("seeks");
    svg.addEventListener("click", (event) => {
      const { left, width } = svg.getBoundingClientRect();
      seek(this.from + ((event.clientX - left) / width) * (this.to - this.from));
    });
  }

  /** @param {(at: number) => void} seek */
  static find(seek) {
    const svg = /** @type {SVGSVGElement | null} */ (document.querySelector("svg[data-from]"));
    return svg && new Axis(svg, seek);
  }

  /** @param {number} at */
  mark(at) {
    const place = `${((at - this.from) / (this.to - this.from)) * 100}%`;
    this.line.setAttribute("x1", place);
    this.line.setAttribute("x2", place);
  }
}

/** The clock for all doors, and its controls. */
class Player {
  #at;
  #isPlaying = false;
  #last = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #settling;

  /**
   * @param {HTMLElement} root
   * @param {PlayerData} data
   */
  constructor(root, data) {
    this.data = data;
    this.clock = clockOf(data);
    this.#at = nextFilm(data.doors, data.from - 1) ?? data.from;
    const figures = [.../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("figure"))];
    this.tiles = figures.map(
      (figure, i) => new Tile(figure, data.doors[i], this.clock, data.texts, () => this.#show(false)),
    );
    this.slider = /** @type {HTMLInputElement} */ (root.querySelector("[data-place]"));
    this.shown = /** @type {HTMLElement} */ (root.querySelector("[data-time]"));
    this.button = /** @type {HTMLButtonElement} */ (root.querySelector("[data-play]"));
    this.speed = /** @type {HTMLSelectElement} */ (root.querySelector("[data-speed]"));
    this.button.addEventListener("click", () => this.#toggle());
    // Each opening is in the custody log, so a slider that is drawn over many clips opens none of them.
    this.slider.addEventListener("input", () => this.seek(Number(this.slider.value), false));
    this.slider.addEventListener("change", () => this.#settle());
    for (const step of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-step]"))) {
      step.addEventListener("click", () => this.seek(this.#at + Number(step.dataset.step), true));
    }
    for (const door of /** @type {NodeListOf<HTMLInputElement>} */ (root.querySelectorAll("[data-door]"))) {
      door.addEventListener("change", () => this.#choose(Number(door.dataset.door), door.checked));
    }
    this.axis = Axis.find((at) => this.seek(at, true));
    // A hidden page gets no frames: its clock would stand still, and the films would play on.
    document.addEventListener("visibilitychange", () => document.hidden && this.#isPlaying && this.#toggle());
    this.#show(false);
  }

  /**
   * Goes to a time. Opens the films there if `mayOpen`.
   *
   * @param {number} at
   * @param {boolean} mayOpen
   */
  seek(at, mayOpen) {
    this.#at = Math.min(this.data.to, Math.max(this.data.from, at));
    this.#show(mayOpen);
  }

  #settle() {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#show(true), SETTLE_MS);
  }

  /**
   * @param {number} number
   * @param {boolean} isWanted
   */
  #choose(number, isWanted) {
    this.tiles[number].figure.hidden = !isWanted;
    if (!isWanted) this.tiles[number].video.pause();
    this.#show(isWanted);
  }

  #toggle() {
    this.#isPlaying = !this.#isPlaying;
    this.button.textContent = this.#isPlaying ? this.data.texts.pause : this.data.texts.play;
    if (this.#at >= this.data.to) this.#at = nextFilm(this.data.doors, this.data.from - 1) ?? this.data.from;
    this.#last = performance.now();
    this.#show(this.#isPlaying);
    if (this.#isPlaying) requestAnimationFrame((now) => this.#run(now));
  }

  /** @param {number} now */
  #run(now) {
    if (!this.#isPlaying) return;
    const passed = (now - this.#last) * Number(this.speed.value);
    this.#last = now;
    // All doors wait for the slowest film, so that they show one time.
    if (!this.#visible().some((tile) => tile.isWaiting())) this.#at += Math.max(0, passed);
    if (!isFilmed(this.#doors(), this.#at) && !this.#isInGap())
      this.#at = nextFilm(this.#doors(), this.#at) ?? this.data.to;
    if (this.#at >= this.data.to) {
      this.#at = this.data.to;
      this.#toggle();
      return;
    }
    this.#show(true);
    requestAnimationFrame((next) => this.#run(next));
  }

  /** True inside a clip. Such a pause is shown in full, because it may matter. Pauses between clips are skipped. */
  #isInGap() {
    return this.#doors().some(({ clips }) => clipAt(clips, this.#at) !== undefined);
  }

  #visible() {
    return this.tiles.filter(({ figure }) => !figure.hidden);
  }

  #doors() {
    return this.#visible().map(({ door }) => door);
  }

  /** @param {boolean} mayOpen */
  #show(mayOpen) {
    const rate = Number(this.speed.value);
    for (const tile of this.#visible()) tile.show(this.#at, { isPlaying: this.#isPlaying, rate, mayOpen });
    this.slider.value = String(Math.round(this.#at));
    this.axis?.mark(this.#at);
    const words = this.clock(this.#at);
    this.slider.setAttribute("aria-valuetext", words);
    if (this.shown.textContent !== words) this.shown.textContent = words;
  }
}

/**
 * Shows the stills of an answer after a person asked for them.
 *
 * @param {HTMLButtonElement} button
 * @param {Texts} texts
 */
async function showStills(button, texts) {
  const place = /** @type {HTMLElement} */ (document.getElementById(button.getAttribute("aria-controls") ?? ""));
  button.disabled = true;
  place.textContent = texts.opening;
  try {
    /** @type {any} */
    const { stills } = await openFilm(button.dataset.stills ?? "");
    place.replaceChildren(
      ...stills.map((/** @type {{ address: string, label: string }} */ still) => {
        const image = document.createElement("img");
        image.src = still.address;
        image.alt = still.label;
        const caption = document.createElement("figcaption");
        caption.textContent = still.label;
        const figure = document.createElement("figure");
        figure.append(image, caption);
        return figure;
      }),
    );
    if (!stills.length) place.textContent = texts.noStills;
  } catch (error) {
    place.textContent = filled(texts.failed, { reason: /** @type {Error} */ (error).message });
    button.disabled = false;
  }
}

/** Starts the player of a case page, if the page has one. */
function start() {
  const source = document.getElementById("player-data");
  const root = /** @type {HTMLElement | null} */ (document.querySelector("[data-player]"));
  if (!source || !root) return;
  const data = /** @type {PlayerData} */ (JSON.parse(source.textContent ?? "{}"));
  const player = new Player(root, data);
  root.hidden = false;
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-at]"))) {
    button.hidden = false;
    button.addEventListener("click", () => {
      root.scrollIntoView({ block: "start" });
      player.seek(Number(button.dataset.at), true);
      player.button.focus();
    });
  }
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-stills]"))) {
    button.hidden = false;
    button.addEventListener("click", () => void showStills(button, data.texts));
  }
}

start();

// Stills of clips, opened when they come into view: the newest wish first, a few at a time, the last few hundred kept.
// Each still also holds the labels that object detection found around it; they are remembered while the page is open.
import { call } from "./client.js";
import { h, ICONS, icon } from "./dom.js";

/** @typedef {(id: string, labels: readonly string[] | null) => void} Listener */

const AT_ONCE = 3;
const KEPT = 400;
/** @type {Map<string, string>} */
const ready = new Map();
/** @type {Map<string, readonly string[] | null>} */
const seen = new Map();
/** @type {Set<Listener>} */
const listeners = new Set();
/** @type {HTMLImageElement[]} */
const requested = [];
let busy = 0;

const watching = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const image = /** @type {HTMLImageElement} */ (target);
      if (isIntersecting) requestPoster(image);
      else forget(image);
    }
  },
  { rootMargin: "200px" },
);

/**
 * An `img` for the still of segment `id`, or a quiet blank if there is none.
 *
 * @param {string | null | undefined} id
 * @param {string} alt
 */
export function poster(id, alt) {
  if (!id) return h("div.poster.none", icon(...ICONS.lock));
  const image = h("img.poster", { alt, decoding: "async" });
  image.dataset.segment = id;
  const known = ready.get(id);
  if (known) image.src = known;
  else watching.observe(image);
  return image;
}

/** @param {HTMLImageElement} image */
function requestPoster(image) {
  const known = ready.get(image.dataset.segment ?? "");
  if (known) image.src = known;
  else requested.push(image);
  pump();
}

/** @param {HTMLImageElement} image */
function forget(image) {
  const at = requested.indexOf(image);
  if (at >= 0) requested.splice(at, 1);
}

function pump() {
  while (busy < AT_ONCE && requested.length) {
    const image = /** @type {HTMLImageElement} */ (requested.pop());
    busy++;
    void open(image).finally(() => {
      busy--;
      pump();
    });
  }
}

/** @param {HTMLImageElement} image */
async function open(image) {
  const id = image.dataset.segment ?? "";
  watching.unobserve(image);
  try {
    if (!ready.has(id)) {
      const { media, seen: labels } = await call("poster", { id });
      remember(id, labels);
      ready.set(id, URL.createObjectURL(new Blob([media], { type: "image/jpeg" })));
      if (ready.size > KEPT) {
        const [[oldest, url]] = ready;
        ready.delete(oldest);
        URL.revokeObjectURL(url);
      }
    }
    image.src = ready.get(id) ?? "";
    performance.mark("poster-shown");
  } catch {
    image.classList.add("failed");
  }
}

export function forgetPosters() {
  for (const url of ready.values()) URL.revokeObjectURL(url);
  ready.clear();
}

/**
 * @param {string} id
 * @param {readonly string[] | null} labels
 */
function remember(id, labels) {
  if (seen.has(id)) return;
  seen.set(id, labels);
  for (const listener of listeners) listener(id, labels);
}

/**
 * Labels detected around the still of segment `id`; null without object detection, undefined before the still is
 * opened.
 *
 * @param {string | null | undefined} id
 */
export const labelsOf = (id) => (id ? seen.get(id) : null);

/**
 * Call `listener(id, labels)` for each still that is opened from now on; returns how to end that.
 *
 * @param {Listener} listener
 */
export function onLabels(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Opens a still for its labels only.
 *
 * @param {string} id
 */
export async function lookAt(id) {
  if (seen.has(id)) return;
  try {
    remember(id, (await call("poster", { id })).seen);
  } catch {
    remember(id, null);
  }
}

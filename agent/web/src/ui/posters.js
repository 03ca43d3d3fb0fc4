// Stills of clips, opened when they come into view: the newest wish first, a few at a time, the last few hundred kept.
import { call } from "./client.js";
import { h, icon, ICONS } from "./dom.js";

const AT_ONCE = 3;
const KEPT = 400;
const ready = new Map();
const wishes = [];
let busy = 0;

const watching = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) wish(target);
      else forget(target);
    }
  },
  { rootMargin: "200px" },
);

/** An `img` for the still of segment `id`, or a quiet blank when there is none. */
export function poster(id, alt) {
  if (!id) return h("div.poster.none", icon(...ICONS.lock));
  const image = h("img.poster", { alt, decoding: "async" });
  image.dataset.segment = id;
  const known = ready.get(id);
  if (known) image.src = known;
  else watching.observe(image);
  return image;
}

function wish(image) {
  const known = ready.get(image.dataset.segment);
  if (known) image.src = known;
  else wishes.push(image);
  pump();
}

function forget(image) {
  const at = wishes.indexOf(image);
  if (at >= 0) wishes.splice(at, 1);
}

function pump() {
  while (busy < AT_ONCE && wishes.length) {
    const image = wishes.pop();
    busy++;
    open(image).finally(() => {
      busy--;
      pump();
    });
  }
}

async function open(image) {
  const id = image.dataset.segment;
  watching.unobserve(image);
  try {
    if (!ready.has(id)) {
      const bytes = await call("poster", { id });
      ready.set(id, URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })));
      if (ready.size > KEPT) {
        const [oldest, url] = ready.entries().next().value;
        ready.delete(oldest);
        URL.revokeObjectURL(url);
      }
    }
    image.src = ready.get(id);
    performance.mark("poster-shown");
  } catch {
    image.classList.add("failed");
  }
}

export function forgetPosters() {
  for (const url of ready.values()) URL.revokeObjectURL(url);
  ready.clear();
}

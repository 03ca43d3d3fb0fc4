// Estimates the motion that a detector like the doorbell's would have seen in a film opened here: which cells of a
// coarse grid differ from the background, and in which zone enough of them do. The doorbell's own detector
// (agent/core/motion) also weighs light, rain, leaves and paths, and sees the picture before it was encoded. Source of
// the figures: its settings.py.

/** @import { Corner, Sample, Zone } from "../types.js" */

export const GRID = { width: 40, height: 30 };
const STEPS_PER_E = 97;
const SMALLEST_STEP = 5;
const NOISE_FACTOR = 4;
const SMALLEST_CELLS = 8;
// As agent/core/motion/zones.py: least share of the square of a person's height that is seen to move.
const PERSON_SHARE = 0.025;
const BACKGROUND_S = 5;
const LEARNING_S = 0.4;

/**
 * Brightness on the detector's scale: equal steps are equal contrast.
 *
 * @param {number} luma
 */
export const brightness = (luma) => STEPS_PER_E * Math.log1p(luma / 20);

/**
 * For each cell whether the polygon goes around its middle, as it is filled on the page.
 *
 * @param {Corner[]} corners
 */
export function cellsOf(corners) {
  const inside = new Uint8Array(GRID.width * GRID.height);
  for (let cell = 0; cell < inside.length; cell++) {
    let turns = 0;
    const x = ((cell % GRID.width) + 0.5) / GRID.width;
    const y = (Math.floor(cell / GRID.width) + 0.5) / GRID.height;
    for (let i = 0; i < corners.length; i++) {
      const [[x0, y0], [x1, y1]] = [corners[i], corners[(i + 1) % corners.length]];
      if (y0 <= y !== y1 <= y && x < x0 + ((y - y0) * (x1 - x0)) / (y1 - y0)) turns += y0 < y1 ? 1 : -1;
    }
    inside[cell] = turns ? 1 : 0;
  }
  return inside;
}

/**
 * Distance of each cell of each sample, `{t, cells}` in seconds and steps, from the background before it.
 *
 * @param {Sample[]} samples
 */
export function differences(samples) {
  const background = Float32Array.from(samples[0]?.cells ?? []);
  const noise = new Float32Array(background.length).fill(1);
  return samples.map(({ t, cells }, n) => {
    const dt = n ? t - samples[n - 1].t : 0;
    const isLearning = t - samples[0].t < LEARNING_S;
    const share = isLearning ? 0.5 : 1 - Math.exp(-dt / BACKGROUND_S);
    const far = new Float32Array(cells.length);
    for (let cell = 0; cell < cells.length; cell++) {
      const apart = Math.abs(cells[cell] - background[cell]);
      far[cell] = isLearning ? 0 : apart / Math.max(SMALLEST_STEP, NOISE_FACTOR * noise[cell]);
      background[cell] += share * (cells[cell] - background[cell]);
      if (apart < SMALLEST_STEP) noise[cell] += 0.05 * (apart - noise[cell]);
    }
    return { t, far };
  });
}

/**
 * By include zone, the seconds in which enough of it moved: `[{name, times, cells}]`; `cells` are those of each
 * sample.
 *
 * @param {{ t: number, far: Float32Array }[]} found
 * @param {Zone[]} zones
 * @param {number} sensitivity
 * @param {number} [smallestPerson] height as a share of the picture's
 */
export function detectMotion(found, zones, sensitivity, smallestPerson = 0) {
  const watched = zones.filter((zone) => zone.kind === "include");
  const blind = zones.filter((zone) => zone.kind !== "include").map((zone) => cellsOf(zone.corners));
  const everything = {
    name: "",
    corners: [
      [0, 0],
      [1, 0],
      [1, 1],
      [0, 1],
    ],
    sensitivity: 1,
    smallest_person: 0,
  };
  return (watched.length ? watched : [everything]).map((zone) => {
    const inside = cellsOf(zone.corners).map((is, cell) => (is && !blind.some((mask) => mask[cell]) ? 1 : 0));
    const keen = Math.min(10, Math.max(0.1, (zone.sensitivity ?? 1) * sensitivity));
    const tall = Math.max(zone.smallest_person ?? 0, smallestPerson) * GRID.height;
    const least = Math.max(SMALLEST_CELLS, PERSON_SHARE * tall ** 2);
    const cells = found.map(({ far }) => far.map((value, cell) => (inside[cell] && value * keen > 1 ? 1 : 0)));
    const times = found.filter((_, n) => cells[n].reduce((sum, one) => sum + one, 0) >= least).map(({ t }) => t);
    return { name: zone.name, times, cells };
  });
}

/**
 * Watches `video` play and takes a sample of it every `everyS` seconds, until it ends or `signal` is aborted.
 *
 * @param {HTMLVideoElement} video
 * @param {AbortSignal} signal
 * @param {(sample: Sample) => void} onSample
 * @param {any} [everyS]
 */
export async function sample(video, signal, onSample, everyS = 0.15) {
  const canvas = Object.assign(document.createElement("canvas"), GRID);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return;
  let last = Number.NEGATIVE_INFINITY;
  while (!signal.aborted && !video.ended) {
    await new Promise((resolve) =>
      video.requestVideoFrameCallback ? video.requestVideoFrameCallback(resolve) : setTimeout(resolve, 100),
    );
    if (signal.aborted || video.readyState < 2 || video.currentTime < last + everyS) {
      if (video.currentTime < last) last = video.currentTime;
      continue;
    }
    last = video.currentTime;
    context.drawImage(video, 0, 0, GRID.width, GRID.height);
    const { data } = context.getImageData(0, 0, GRID.width, GRID.height);
    const cells = new Float32Array(GRID.width * GRID.height);
    for (let cell = 0; cell < cells.length; cell++) {
      const at = cell * 4;
      cells[cell] = brightness(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]);
    }
    onSample({ t: last, cells });
  }
}

// Finds the watched zones in which an event moved, in this browser, from the opened film, if the owner asks for a zone.
// The doorbell leaves the zones out of a segment's record, because every recipient of the segment gets that record.
import { ask, call } from "../ui/client.js";
import { detectMotion, differences, sample } from "./motion_preview.js";
import { play } from "./player.js";

/** @import { Answer, Sample, Zone } from "../types.js" */

const SPEED = 8;
const MOST_SEGMENTS = 4;
const PATIENCE_MS = 20_000;
const known = new Map();

/**
 * Names of the zones; undefined until the owner has looked.
 *
 * @param {Answer} event
 */
export const zonesOf = (event) => known.get(event.event);

/**
 * Watches the first seconds of the event, many times as fast as they were.
 *
 * @param {Answer} event
 * @param {Zone[]} zones
 * @param {number} sensitivity
 * @param {number} smallestPerson height as a share of the picture's
 */
export async function watch(event, zones, sensitivity, smallestPerson) {
  const { segments } = await ask("list", { from_ms: event.start_ms, to_ms: event.end_ms + 1 });
  const own = /** @type {Answer[]} */ (segments)
    .filter((each) => each.event === event.event)
    .slice(0, MOST_SEGMENTS)
    .map(({ id, start_ms: start, end_ms: end }) => ({ id, start, end }));
  const video = Object.assign(document.createElement("video"), {
    muted: true,
    playsInline: true,
    defaultPlaybackRate: SPEED,
  });
  const looking = new AbortController();
  /** @type {Sample[]} */
  const samples = [];
  const stop = play(video, own, (id) => call("segment", { id }), { onError: () => looking.abort() });
  video.addEventListener("ended", () => looking.abort());
  const timer = setTimeout(() => looking.abort(), PATIENCE_MS);
  video.playbackRate = SPEED;
  await Promise.race([
    sample(video, looking.signal, (one) => samples.push(one), 0.25),
    new Promise((resolve) => looking.signal.addEventListener("abort", resolve, { once: true })),
  ]);
  clearTimeout(timer);
  stop();
  const names = samples.length
    ? detectMotion(differences(samples), zones, sensitivity, smallestPerson)
        .filter((zone) => zone.times.length)
        .map((zone) => zone.name)
    : [];
  known.set(event.event, names);
}

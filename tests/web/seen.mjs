// A bright block of a person's size walks through the left half of a dark, noisy picture; then the light goes on
// everywhere.
import { brightness, detectMotion, differences, GRID } from "../../agent/web/src/media/motion_preview.js";

const noise = (n) => ((n * 7919) % 13) / 13 - 0.5;
/** `tall`: height and width in cells. */
const walking = (tall, wide) =>
  Array.from({ length: 60 }, (_, frame) => {
    const cells = new Float32Array(GRID.width * GRID.height);
    for (let cell = 0; cell < cells.length; cell++) {
      const [x, y] = [cell % GRID.width, Math.floor(cell / GRID.width)];
      const isPerson =
        frame >= 20 && frame < 40 && x >= frame - 20 && x < frame - 20 + wide && y >= 10 && y < 10 + tall && x < 20;
      cells[cell] = brightness((isPerson ? 90 : 60) + 2 * noise(cell + frame * 31));
    }
    return { t: frame * 0.15, cells };
  });
const found = differences(walking(6, 5));
const far = differences(walking(3, 3));
const half = (name, left, sensitivity = 1) => ({
  name,
  kind: "include",
  sensitivity,
  smallest_person: 0,
  corners: left
    ? [
        [0, 0],
        [0.5, 0],
        [0.5, 1],
        [0, 1],
      ]
    : [
        [0.5, 0],
        [1, 0],
        [1, 1],
        [0.5, 1],
      ],
});
const times = (zones, sensitivity = 1) =>
  Object.fromEntries(detectMotion(found, zones, sensitivity).map((zone) => [zone.name, zone.times]));
process.stdout.write(
  JSON.stringify({
    apart: times([half("left", true), half("right", false)]),
    everywhere: times([])[""],
    masked: times([half("left", true), { ...half("mask", true), kind: "privacy" }]).left,
    far: detectMotion(far, [half("left", true)], 1)[0].times.length,
    tooFar: detectMotion(far, [half("left", true)], 1, 0.7)[0].times,
    near: times([{ ...half("left", true), smallest_person: 0.2 }]).left,
    dull: times([half("left", true, 0.1)], 0.1).left,
  }),
);

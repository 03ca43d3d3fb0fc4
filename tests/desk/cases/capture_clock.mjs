// Compares the player's clock with a count of single milliseconds, for many drawn clips.  Prints the number of clips.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

// As text: Node 18 of Debian 12 takes a .js file for CommonJS, although browsers load it as a module.
const clock = readFileSync(new URL("../../../desk/static/cases/capture_clock.js", import.meta.url));
const { captureTime, clipAt, filmSeconds, gapAt, isFilmed, nextFilm } = await import(
  `data:text/javascript;base64,${clock.toString("base64")}`
);

let seed = 20260;
const drawn = (most) => {
  seed = (seed * 1103515245 + 12345) % 2 ** 31;
  return seed % most;
};

/** Segments with gaps of at least half a second, in order. */
function segmentsFrom(start) {
  const segments = [];
  let at = start;
  for (let i = 0; i <= drawn(4); i++) {
    const to = at + 1 + drawn(3000);
    segments.push([at, to]);
    at = to + (drawn(2) ? 0 : 500 + drawn(2000));
  }
  return segments;
}

/** The slow and obvious answer: the milliseconds of film before `at`, or null outside of all segments. */
function slowly(segments, at) {
  if (!segments.some(([from, to]) => from <= at && at < to)) return null;
  return segments.reduce((sum, [from, to]) => sum + Math.max(0, Math.min(at, to) - from), 0) / 1000;
}

let clips = 0;
for (; clips < 400; clips++) {
  const start = drawn(5000);
  const segments = segmentsFrom(start);
  const clip = {
    id: 1,
    watch: "",
    from: start,
    to: segments.at(-1)[1],
    segments,
    clock: "",
    doubtful: false,
    label: "",
  };
  const doors = [{ name: "A", clips: [clip] }];
  for (let at = start - 50; at < clip.to + 50; at += 37) {
    const seconds = filmSeconds(segments, at);
    assert.equal(seconds, slowly(segments, at));
    assert.equal(isFilmed(doors, at), seconds !== null);
    assert.equal(clipAt([clip], at) === clip, clip.from <= at && at < clip.to);
    if (seconds !== null) assert.ok(Math.abs(captureTime(segments, seconds) - at) < 1e-6);
    else if (at > start && at < clip.to) {
      const [from, to] = gapAt(clip, at);
      assert.ok(from <= at && at < to && slowly(segments, from - 1) !== null && slowly(segments, to) !== null);
    }
    const next = nextFilm(doors, at);
    assert.ok(next === null || (next > at && slowly(segments, next) !== null));
  }
}
// Segments still play on without a gap if their times were rounded apart.
assert.equal(
  filmSeconds(
    [
      [0, 1000],
      [1040, 2000],
    ],
    1020,
  ),
  1,
);
console.log(clips);

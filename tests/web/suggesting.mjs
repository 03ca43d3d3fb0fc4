// The network of faces and the covers from its faces. Each line that it reads is a job; it answers with a line.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { FaceNetwork } from "../../agent/web/src/media/face_network.js";
import { PlateCascade } from "../../agent/web/src/media/plate_cascade.js";
import { widestPx } from "../../agent/web/src/media/suggest_covers.js";
import { SuggestRuns } from "../../agent/web/src/media/suggest_runs.js";
import { atMost, FaceTracker } from "../../agent/web/src/owner/face_tracks.js";
import { unbase64 } from "../../agent/web/src/wire/bytes.js";

const network = new FaceNetwork(
  new Uint8Array(readFileSync(new URL("../../agent/web/static/faces.bin", import.meta.url))),
);

const cascade = new PlateCascade(
  JSON.parse(readFileSync(new URL("../../agent/web/static/plates.json", import.meta.url), "utf8")),
);

/** @type {Record<string, (value: any) => any>} */
const jobs = {
  faces: ({ rgba, width, height, least }) => network.find(new Uint8ClampedArray(unbase64(rgba)), width, height, least),
  covers: ({ moments, rows, columns, length, kind }) => {
    const tracker = new FaceTracker(kind);
    for (const { at, luma, faces } of moments) tracker.add(at, { data: unbase64(luma), rows, columns }, faces);
    return tracker.finish(length);
  },
  plates: ({ luma, rows, columns }) => cascade.find({ data: unbase64(luma), rows, columns }),
  most: ({ covers, most }) => atMost(covers, most),
  widths: ({ sizes }) => sizes.map((/** @type {[number, number]} */ [width, height]) => widestPx(width, height)),
  runs: async () => {
    const runs = new SuggestRuns();
    const make = () => {
      /** @type {any[]} */
      const films = [];
      return {
        add: async (/** @type {any} */ media) => void films.push(media),
        finish: (/** @type {number} */ most) => [...films, most],
      };
    };
    /**
     * @param {string} name
     * @returns {Promise<any>}
     */
    const film = async (name) => name;
    let arrive = () => {};
    const waits = new Promise((resolve) => (arrive = () => resolve(undefined)));
    const first = runs.begin(make());
    const fetched = runs.add(first, () => waits.then(() => film("first")), 1);
    const second = runs.begin(make());
    arrive();
    await fetched;
    await runs.add(first, () => film("late"), 1);
    await runs.add(second, () => film("second"), 1);
    return [runs.finish(first, 1), runs.finish(second, 2), runs.finish(second, 3)];
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { job, ...value } = JSON.parse(line);
  console.log(JSON.stringify(await jobs[job](value)));
}

// Covers that follow. Each line that it reads is a job; it answers with a line.
import "./globals.mjs";
import { createInterface } from "node:readline";
import {
  between,
  isUnsure,
  newCover,
  withFollowed,
  withoutPlace,
  withPlace,
} from "../../agent/web/src/owner/cover_draft.js";
import { redactionsOf } from "../../agent/web/src/owner/redaction_plan.js";
import { halved, RegionTracks } from "../../agent/web/src/owner/region_tracks.js";

/** @param {string} text */
const bytesIn = (text) => new Uint8Array(Buffer.from(text, "base64"));

/** @param {any} job */
function follow({ hand, from = 0, until, lengths, films, rows, columns }) {
  const tracks = new RegionTracks(hand, from, until, lengths);
  const looked = [];
  for (const number of tracks.order) {
    /** @type {Map<number, any>} */
    const film = new Map(films[number]);
    for (const [at, data] of film) if (typeof data === "string") film.set(at, bytesIn(data));
    const moments = tracks.moments([...film.keys()]);
    looked.push(moments);
    tracks.add(moments.map((at) => [at, { data: film.get(at), rows, columns }]));
  }
  return { ...tracks.finish(), order: tracks.order, looked };
}

/** @type {Record<string, (value: any) => any>} */
const jobs = {
  follow,
  half: ({ luma, rows, columns }) => {
    const made = halved({ data: bytesIn(luma), rows, columns });
    return { ...made, data: [...made.data] };
  },
  timed: ({ hand, length, pictures, rows, columns }) => {
    const films = [pictures.map((/** @type {[number, string]} */ [at, text]) => [at, bytesIn(text)])];
    follow({ hand, until: length, lengths: [length], films, rows, columns }); // compiled once, as in a longer film
    const begun = process.cpuUsage();
    follow({ hand, until: length, lengths: [length], films, rows, columns });
    const { user, system } = process.cpuUsage(begun);
    return { ms: (user + system) / 1000 };
  },
  drafts: ({ length }) => {
    const drawn = newCover(1000, length, [4000, 3000, 1000, 500]);
    /** @type {any} */
    const found = {
      places: [
        [0, 3000, 3000, 1000, 500],
        [1000, 4000, 3000, 1000, 500],
        [2000, 6000, 3000, 2000, 900],
      ],
      unsure: [[1500, 2000]],
    };
    const followed = withFollowed(drawn, found);
    const corrected = withPlace(followed, 1600, [5000, 3000, 1000, 500]);
    const plan = redactionsOf({ e: [followed] }, [{ event: "e", segments: [{ id: "s", lengthMs: length }] }]);
    return {
      followed,
      corrected,
      again: withFollowed(corrected, { ...found, unsure: [] }),
      forgotten: withoutPlace(corrected, 1600),
      kept: withoutPlace(followed, 1000),
      shorter: between(corrected, 1550, 3000, length),
      empty: between(followed, 1200, 1400, length),
      unsure: [1400, 1500, 2000, 2001].map((at) => isUnsure(followed, at)),
      plan: plan.segment.s,
    };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { job, ...value } = JSON.parse(line);
  console.log(JSON.stringify(jobs[job](value)));
}

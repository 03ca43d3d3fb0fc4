// How much of each area of argv[2] lies near its place, and its drawing: lists of shares and drawings.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { drawn } from "../../agent/web/src/pages/area_drawing.js";
import { shareNear } from "../../agent/web/src/wire/area.js";

const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));
process.stdout.write(
  JSON.stringify({
    shares: cases.map(({ area, place, radius }) => shareNear(area, place, radius)),
    drawn: cases.map(({ area, place }) => drawn(area, place)),
    unknown: drawn(cases[0].area, null).door,
  }),
);

// How much of each area of argv[2] lies near its place: a list of shares.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { shareNear } from "../../agent/web/src/wire/area.js";

const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));
process.stdout.write(
  JSON.stringify({ shares: cases.map(({ area, place, radius }) => shareNear(area, place, radius)) }),
);

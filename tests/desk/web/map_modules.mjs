// Modules of the desk's forms and map, asked by tests/desk/web/test_the_map.py. Prints one JSON object.

import { degreesBetween } from "../../../desk/web/graticule.js";
import { circleOf, coarse, parseCorners, parsePosition, ringOf, written } from "../../../desk/web/positions.js";
import { beginningOf } from "../../../desk/web/presets.js";

/** @type {import("../../../desk/web/positions.js").DrawnArea} */
const circle = { shape: "circle", centre: [5.1214, 52.0907], radius_m: 300 };
process.stdout.write(
  JSON.stringify({
    positions: ["52.0907, 5.1214", "-33.9;18.4", " 52 5 ", "91, 5", "52,09, 5,12", "here", "52.1, 181"].map(
      parsePosition,
    ),
    coarse: [coarse([5.1214, 52.0907]), coarse([-70.65149, -33.44951]), coarse([5.121, 52.091])],
    written: written([5.12141234567, 52.09071234567]),
    corners: [parseCorners("52.1, 5.1\n\n52.2, 5.2\n"), parseCorners("52.1, 5.1\nhere")],
    again: circleOf(ringOf(circle)),
    ring: ringOf({
      shape: "polygon",
      corners: [
        [5, 52],
        [6, 52],
        [6, 53],
      ],
    }),
    street: degreesBetween(5.1201, 5.1255),
    world: degreesBetween(-180, 180).length,
    beginnings: [
      beginningOf({ day: "2026-11-29", since: "13:20", until: "14:20" }, 120),
      beginningOf({ day: "2026-11-29", since: "00:20", until: "01:20" }, 120),
      beginningOf({ day: "2026-11-28", since: "23:50", until: "00:50" }, 30),
      beginningOf({ day: "2026-12-31", since: "23:20", until: "00:20" }, 720),
    ],
  }),
);

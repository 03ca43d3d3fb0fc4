// Builds the map and the forms of the desk into ../static/asking, and the public pages of tips and neighbours into
// ../static/neighbourhood: the same sources and lock files make the same bytes.

import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const into = process.argv[2] ?? "../static";
const outdir = `${into}/asking`;
const tips = `${into}/neighbourhood`;
for (const each of [outdir, tips]) await mkdir(each, { recursive: true });
/** @type {import("esbuild").BuildOptions} */
const options = {
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome120", "firefox128", "safari17"],
  charset: "utf8",
  legalComments: "none",
  banner: { js: "/* Doorward's desk, Apache-2.0. Bundled libraries (MIT, BSD-3-Clause): LICENSES.txt */" },
  logLevel: "warning",
};
await build({ ...options, entryPoints: ["asking.js", "asking.css"], outdir });
await build({ ...options, entryPoints: ["tip.js", "tip_work.js", "neighbour.js", "mine.js"], outdir: tips });
// The map's worker is a finished module of MapLibre. It stays a file, because the desk's policy allows no blob: worker.
await copyFile("node_modules/maplibre-gl/dist/maplibre-gl-worker.mjs", `${outdir}/map-worker.js`);
await writeFile(`${outdir}/LICENSES.txt`, await licences("."));
await writeFile(`${tips}/LICENSES.txt`, await licences("../../agent/web/src"));

/**
 * Returns the licence of each package that a lock file installs for the program: MapLibre's bundle holds its own.
 *
 * @param {string} from folder of the lock file
 */
async function licences(from) {
  const { packages } = JSON.parse(await readFile(`${from}/package-lock.json`, "utf8"));
  const parts = [];
  for (const [folder, { dev, license }] of Object.entries(packages)) {
    if (!folder || dev) continue;
    const file = (await readdir(`${from}/${folder}`)).find((each) => /^licen[cs]e/i.test(each));
    const text = file ? await readFile(`${from}/${folder}/${file}`, "utf8") : "";
    parts.push(`${folder.replace("node_modules/", "")} (${license})\n\n${text.trim()}\n`);
  }
  const opening = "This program of the desk contains these libraries, each under its own licence.";
  return `${opening}\n\n${parts.join("\n---\n\n")}`;
}

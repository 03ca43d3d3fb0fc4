// Builds the map and the forms of the desk into ../static/asking: the same sources and lock file make the same bytes.

import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const outdir = process.argv[2] ?? "../static/asking";
await mkdir(outdir, { recursive: true });
await build({
  entryPoints: ["asking.js", "asking.css"],
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome120", "firefox128", "safari17"],
  charset: "utf8",
  legalComments: "none",
  banner: {
    js: "/* The map and forms of Doorward's desk, Apache-2.0. Bundled libraries (MIT, BSD-3-Clause): LICENSES.txt */",
  },
  logLevel: "warning",
});
// The map's worker is a finished module of MapLibre. It stays a file, because the desk's policy allows no blob: worker.
await copyFile("node_modules/maplibre-gl/dist/maplibre-gl-worker.mjs", `${outdir}/map-worker.js`);
await writeFile(`${outdir}/LICENSES.txt`, await licences());

/** Returns the licence of each package that the lock file installs for the program: MapLibre's bundle holds its own. */
async function licences() {
  const { packages } = JSON.parse(await readFile("package-lock.json", "utf8"));
  const parts = [];
  for (const [folder, { dev, license }] of Object.entries(packages)) {
    if (!folder || dev) continue;
    const file = (await readdir(folder)).find((each) => /^licen[cs]e/i.test(each));
    const text = file ? await readFile(`${folder}/${file}`, "utf8") : "";
    parts.push(`${folder.replace("node_modules/", "")} (${license})\n\n${text.trim()}\n`);
  }
  const opening = "The map and forms of the desk contain these libraries, each under its own licence.";
  return `${opening}\n\n${parts.join("\n---\n\n")}`;
}

// Builds the program of the page into ../static: the same sources and lock file make the same bytes.

import { writeFile } from "node:fs/promises";
import { build } from "esbuild";

const entries = { app: "app.js", worker: "worker.js", "worker-service": "service.js", microphone: "microphone.js" };
const outdir = process.argv[2] ?? "../static";
const { metafile } = await build({
  entryPoints: Object.entries(entries).map(([out, file]) => ({ in: file, out })),
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome105", "firefox115", "safari16"],
  charset: "utf8",
  legalComments: "none",
  banner: { js: "/* Doorward's page, Apache-2.0. Bundled libraries (MIT, BSD-3-Clause): LICENSES.txt */" },
  metafile: true,
  logLevel: "warning",
});
const packages = new Set();
for (const input of Object.keys(metafile.inputs)) {
  const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (found) packages.add(found[1]);
}
await writeFile(`${outdir}/packages.txt`, `${[...packages].sort().join("\n")}\n`);

// Builds the program of the page into ../static: the same sources and lock file make the same bytes.

import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const entries = {
  app: "app.js",
  worker: "worker.js",
  "worker-service": "service.js",
  microphone: "microphone.js",
  faces: "media/suggest_covers.js",
  follow: "media/follow_region.js",
  lossless: "media/lossless_encoder.js",
};
const outdir = process.argv[2] ?? "../static";
/** @type {import("esbuild").BuildOptions} */
const options = {
  bundle: true,
  minify: true,
  target: ["chrome105", "firefox115", "safari16"],
  charset: "utf8",
  legalComments: "none",
  banner: { js: "/* Doorward's page, Apache-2.0. Bundled libraries (MIT, BSD-3-Clause): LICENSES.txt */" },
  logLevel: "warning",
};
const { metafile } = await build({
  ...options,
  entryPoints: Object.entries(entries).map(([out, file]) => ({ in: file, out })),
  outdir,
  format: "esm",
  metafile: true,
});
const first = await build({
  ...options,
  entryPoints: ["too_old.js"],
  format: "iife",
  target: "es5",
  outfile: `${outdir}/too-old.js`,
});
if (first.errors.length > 0) throw new Error("too_old.js is not of 2012");
const alone = await build({
  ...options,
  entryPoints: ["set_up.js"],
  format: "iife",
  logOverride: { "empty-import-meta": "silent" }, // the texts are inside, so it loads none
  define: { SET_UP_TEXTS: JSON.stringify(await setUpTexts()) },
  metafile: true,
  write: false,
});
await writeFile(`${outdir}/set-up.html`, await inOneFile(alone.outputFiles[0].text.trim()));
const packages = new Set();
for (const input of [...Object.keys(metafile.inputs), ...Object.keys(alone.metafile.inputs)]) {
  const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (found) packages.add(found[1]);
}
await writeFile(`${outdir}/packages.txt`, `${[...packages].sort().join("\n")}\n`);

/**
 * The set-up page with its program and its look inside, so that it works as a file. Its policy names their hashes: no
 * other script runs, and it may ask only a doorbell, whose name it does not know yet.
 *
 * @param {string} program
 */
async function inOneFile(program) {
  // Nothing in the program may end its element. A JavaScript string reads "<\\/" as "</".
  const script = program.replaceAll("</", "<\\/");
  const style = (await readFile("../static/page.css", "utf8")).trim();
  const hash = (/** @type {string} */ text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "connect-src http: https:",
    "img-src data:",
    "form-action 'none'",
  ].join("; ");
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Doorward</title>
<style>${style}</style>
</head>
<body data-bare="true">
<div id="too-old" class="page narrow">
${await tooOld()}
</div>
<script>${script}</script>
</body>
</html>
`;
}

/** The words for a browser that cannot run the set-up page, in every language. The program removes them. */
async function tooOld() {
  const names = (await readdir("../texts")).filter((name) => name.endsWith(".json")).sort();
  const said = names.map(async (name) => {
    const texts = JSON.parse(await readFile(`../texts/${name}`, "utf8"));
    return `<p lang="${name.slice(0, -5)}" dir="auto">${texts["too-old"]}</p>`;
  });
  return (await Promise.all(said)).join("\n");
}

/** The texts of the set-up page in every language, for a file that loads nothing. */
async function setUpTexts() {
  const files = (await readdir("../texts")).filter((name) => name.endsWith(".json")).sort();
  const read = async (/** @type {string} */ name) => {
    const texts = Object.entries(JSON.parse(await readFile(`../texts/${name}`, "utf8")));
    return [
      name.slice(0, -5),
      Object.fromEntries(texts.filter(([key]) => /^(show|install)\.|^install$|^error\.unex/.test(key))),
    ];
  };
  return Object.fromEntries(await Promise.all(files.map(read)));
}

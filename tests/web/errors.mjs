// An error of the worker's bundle, taken apart and put together again in the page's, both as they are shipped:
// minified.
import { build } from "../../agent/web/src/node_modules/esbuild/lib/main.js";

const errors = new URL("../../agent/web/src/errors.js", import.meta.url).pathname;
const { outputFiles } = await build({ entryPoints: [errors], bundle: true, minify: true, format: "esm", write: false });
const url = (number) =>
  `data:text/javascript;base64,${Buffer.from(`${outputFiles[0].text}//${number}`).toString("base64")}`;
const [worker, page] = [await import(url(1)), await import(url(2))];
const made = [
  new worker.PageError("x"),
  new worker.FormatError("x"),
  new worker.OpenError("x"),
  new worker.RefusedError("no", "", 401),
  new worker.LostError(),
];
const found = made.map((error) => {
  const back = page.revive(structuredClone(worker.plainOf(error)));
  return ["PageError", "FormatError", "OpenError", "RefusedError", "LostError"].filter(
    (name) => back instanceof page[name],
  );
});
process.stdout.write(JSON.stringify(found));

// The page's first script in browsers that lack something: each case → whether the words of an old browser are shown.
import { readFileSync } from "node:fs";
import { createContext, runInContext } from "node:vm";

const program = readFileSync(new URL("../../agent/web/static/too-old.js", import.meta.url), "utf8");

/** @param {{ without?: string[], early?: boolean, runs?: boolean, error?: object }} options */
function shown({ without = [], early = false, runs = false, error }) {
  let hidden = true;
  const heard = {};
  const listen = (name, then) => (heard[name] = then);
  const words = { removeAttribute: (name) => (hidden &&= name !== "hidden") };
  const all = {
    Worker: 1,
    indexedDB: 1,
    structuredClone: 1,
    AbortSignal: without.includes("timeout") ? {} : { timeout: 1 },
    Array: { prototype: without.includes("findLast") ? {} : { findLast: 1 } },
  };
  for (const name of without) delete all[name];
  const document = {
    readyState: early ? "loading" : "interactive",
    createElement: () => (without.includes("modules") ? {} : { noModule: false }),
    getElementById: (id) => (id === "too-old" ? words : null),
    documentElement: { hasAttribute: (name) => name === "data-runs" && runs },
    addEventListener: listen,
  };
  const context = createContext({ ...all, document, addEventListener: listen });
  for (const name of ["Worker", "structuredClone"]) if (without.includes(name)) delete context[name];
  runInContext(program, context);
  if (early) heard.DOMContentLoaded?.();
  if (error) heard.error(error);
  return !hidden;
}

const cases = JSON.parse(process.argv[2]);
process.stdout.write(JSON.stringify(cases.map(shown)));

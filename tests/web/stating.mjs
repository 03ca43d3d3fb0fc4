// A statement that was overtaken, as the page signs it. The doorbell refuses the first `times` after `lateMs`. Then one
// whose number, and one whose answer is lost.
import "./globals.mjs";
import { build } from "../../agent/web/src/node_modules/esbuild/lib/main.js";

const source = new URL("../../agent/web/src/", import.meta.url).pathname;
const contents =
  'export * from "./owner/statements.js"; export * from "./errors.js";' +
  'export { publicKeyOfSeed } from "./wire/keys.js"; export { frame, readFrame } from "./link.js";';
const { outputFiles } = await build({
  stdin: { contents, resolveDir: source },
  bundle: true,
  format: "esm",
  write: false,
});
const { signAndSubmit, publicKeyOfSeed, frame, readFrame } = await import(
  `data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString("base64")}`
);

const seed = new Uint8Array(32).fill(7);
const device = await publicKeyOfSeed(seed);
const found = [];
/** @type {[number, number, string][]} */
const cases = [
  [1, 0, "OvertakenError"],
  [2, 0, "OvertakenError"],
  [1, 3000, "OvertakenError"],
  [1, 0, "RequestError"],
];
for (const [times, lateMs, kind] of cases) {
  const nonces = [];
  let [left, now, given] = [times, 0, 0];
  // Assigned, it is read only in Node 18.
  Object.defineProperty(performance, "now", { value: () => now, configurable: true });
  globalThis.fetch = async (path, options) => {
    const { envelope } = readFrame(options?.body).head;
    if (path === "/api/nonce") {
      given += 1;
      return answer({ ok: true, result: { nonce: String(given).padStart(32, "0") } });
    }
    nonces.push(JSON.parse(Buffer.from(JSON.parse(envelope).payload, "base64").toString()).nonce);
    if (left === 0) return answer({ ok: true, result: {} });
    [left, now] = [left - 1, now + lateMs];
    return answer({ ok: false, kind, error: "No.", remedy: "" });
  };
  const done = await signAndSubmit("opt-out", device, { scope: "all" }, seed).then(
    () => "done",
    (error) => error.kind ?? String(error),
  );
  found.push([done, new Set(nonces).size]);
}
const lost = [];
for (const at of ["/api/nonce", "/api/statement"]) {
  globalThis.fetch = async (path) => {
    if (path === at) throw new TypeError("the relay dropped it");
    return answer({ ok: true, result: { nonce: "0".repeat(32) } });
  };
  lost.push(await signAndSubmit("opt-out", device, { scope: "all" }, seed).catch(({ name, text }) => [name, text]));
}
process.stdout.write(JSON.stringify({ found, lost }));

function answer(head) {
  return new Response(frame(head), { headers: { "content-type": "application/vnd.doorward.frame" } });
}

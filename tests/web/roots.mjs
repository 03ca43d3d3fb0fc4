// The roots that a household chose: each case of argv[2] → the roots, or the error's text. With `shown`, the answer
// of the doorbell, also the names of the requesters of `root`.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { requestersOf, rootsChosen } from "../../agent/web/src/owner/household_roots.js";
import { parseKey } from "../../agent/web/src/wire/keys.js";
import { parseTrustKey } from "../../agent/web/src/wire/trust_keys.js";

const { device, cases, shown: answer } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const found = {};
for (const { name, shown, entries, enrolments } of cases) {
  try {
    found[name] = await rootsChosen(shown, entries, enrolments, await parseKey(device));
  } catch (error) {
    found[name] = error.text ?? String(error.stack);
  }
}
if (answer) {
  const { id, text: key } = await parseTrustKey(answer.root);
  const names = await requestersOf([{ key, id, by: "anna", at: 0 }], answer, {});
  found.names = Object.fromEntries(names);
}
process.stdout.write(JSON.stringify(found));

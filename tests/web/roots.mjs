// The roots that a household chose: each case of argv[2] → the roots, or the error's text.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { rootsChosen } from "../../agent/web/src/owner/household_roots.js";
import { parseKey } from "../../agent/web/src/wire/keys.js";

const { device, cases } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const found = {};
for (const { name, shown, entries, enrolments } of cases) {
  try {
    found[name] = await rootsChosen(shown, entries, enrolments, await parseKey(device));
  } catch (error) {
    found[name] = error.text ?? String(error.stack);
  }
}
process.stdout.write(JSON.stringify(found));

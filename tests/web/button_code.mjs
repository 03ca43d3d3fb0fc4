// The code of a long press: each sealed file of argv[2] → what the page gives back to the doorbell, or the error.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { openButtonCode } from "../../agent/web/src/owner/button_code.js";
import { unbase64 } from "../../agent/web/src/wire/bytes.js";

const { identity, sealed } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const given = [];
for (const each of sealed) {
  try {
    given.push(await openButtonCode(unbase64(each), identity));
  } catch (error) {
    given.push(error.text ?? String(error.stack));
  }
}
process.stdout.write(JSON.stringify(given));

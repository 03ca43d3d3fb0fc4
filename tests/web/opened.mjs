// The page opens each sealed file of argv[2]: "opened", or the error's text.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { unbase64 } from "../../agent/web/src/wire/bytes.js";
import { parseKey } from "../../agent/web/src/wire/keys.js";
import { openCaptured, openPoster, openRecord, openSound } from "../../agent/web/src/wire/segment.js";

const OPENERS = { film: openCaptured, still: openPoster, sound: openSound };
const { device, identity, files } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const key = await parseKey(device);
const found = {};
for (const { name, kind, record, data } of files) {
  try {
    await OPENERS[kind](await openRecord(record, key), unbase64(data), identity, key.id);
    found[name] = "opened";
  } catch (error) {
    found[name] = error.text ?? String(error.stack);
  }
}
process.stdout.write(JSON.stringify(found));

// Reads messages with the page's own readers: one line `kind TAB message` each; prints 1 for refused, 0 for taken.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { FormatError } from "../../agent/web/src/errors.js";
import { utf8 } from "../../agent/web/src/wire/bytes.js";
import * as messages from "../../agent/web/src/wire/messages.js";
import { decode } from "../../agent/web/src/wire/strictjson.js";

const readers = {
  "footage-request": messages.footageRequest,
  bulletin: messages.bulletin,
  deletion: messages.deletion,
  receipt: messages.receipt,
  enrolment: messages.enrolment,
  approval: messages.approval,
  settings: messages.settings,
  "trust-bundle": messages.trustBundle,
  "trust-root": messages.rootFile,
  "trust-timestamp": messages.trustTimestamp,
  tip: messages.tip,
  "co-approval": messages.coApproval,
  "trust-change": messages.trustChange,
};
const verdicts = readFileSync(process.argv[2], "utf8")
  .split("\n")
  .filter(Boolean)
  .map((line) => {
    const [kind, message] = line.split("\t");
    try {
      readers[kind](decode(utf8(JSON.parse(message)), 48 << 20));
      return "0";
    } catch (error) {
      if (!(error instanceof FormatError)) throw new Error(`${kind}: ${error.stack}\n${message}`);
      return "1";
    }
  });
process.stdout.write(JSON.stringify({ verdicts: verdicts.join("") }));

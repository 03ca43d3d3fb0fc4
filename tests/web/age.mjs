// The page's age module against ours, both ways: [identity, sealed file, requester's identity] → what it opened.
import "./globals.mjs";
import { readFileSync, writeFileSync } from "node:fs";
import { identityToRecipient, open, openPrefix, rewrap, split } from "../../agent/web/src/wire/age.js";
import { concat, hex, sha256 } from "../../agent/web/src/wire/bytes.js";

const [identity, sealedPath, requester, outPath] = process.argv.slice(2);
const sealed = new Uint8Array(readFileSync(sealedPath));
const border = split(sealed);
const plain = await open(sealed, identity);
const header = await rewrap(sealed.subarray(0, border), identity, await identityToRecipient(requester));
writeFileSync(outPath, concat(header, sealed.subarray(border)));
const torn = await openPrefix(sealed.subarray(0, sealed.length - 40), identity);
const whole = await openPrefix(sealed, identity);
process.stdout.write(
  JSON.stringify({
    border,
    sha256: hex(await sha256(plain)),
    torn: [torn.plain.length, torn.whole],
    whole: [whole.plain.length, whole.whole],
  }),
);

// ML-DSA-44 by @noble/post-quantum, from a folder with signed bytes and a signature, the seed of the key, and the seed
// of an approval key. In the folder are statements of owners, too, each of which the page reads or refuses.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { ml_dsa44 } from "../../agent/web/src/node_modules/@noble/post-quantum/ml-dsa.js";
import { hex, unbase64, unhex, utf8 } from "../../agent/web/src/wire/bytes.js";
import { parseKey } from "../../agent/web/src/wire/keys.js";
import { approverOf, openStatement, sealStatement } from "../../agent/web/src/wire/mldsa.js";

const [folder, seed, approval] = process.argv.slice(2);
const [signed, signature] = ["signed", "signature"].map((name) => new Uint8Array(readFileSync(`${folder}/${name}`)));
const { publicKey, secretKey } = ml_dsa44.keygen(unhex(seed));
const flipped = Array.from({ length: 40 }, (_, number) => {
  const other = signature.slice();
  other[number * 60] ^= 1 << (number % 8);
  return ml_dsa44.verify(other, signed, publicKey);
});
const { type, statements, approver } = JSON.parse(readFileSync(`${folder}/statements.json`, "utf8"));
const signer = { key: await parseKey(approver.key), mldsa: unbase64(approver.mldsa) };
/** @type {Record<string, boolean>} */
const read = {};
for (const [name, statement] of Object.entries(statements)) {
  read[name] = await openStatement(utf8(statement), type, new Map([[signer.key.id, signer]])).then(
    () => true,
    () => false,
  );
}
process.stdout.write(
  JSON.stringify({
    key: hex(publicKey),
    verdict: ml_dsa44.verify(signature, signed, publicKey),
    flipped,
    signature: hex(ml_dsa44.sign(utf8("signed in JavaScript"), secretKey)),
    approver: await approverOf(unhex(approval)),
    sealed: await sealStatement(type, utf8('{"a":1}'), unhex(approval)),
    read,
  }),
);

// ML-DSA-44 by @noble/post-quantum, from a folder with signed bytes and a signature, and the seed of the key.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { ml_dsa44 } from "../../agent/web/src/node_modules/@noble/post-quantum/ml-dsa.js";
import { hex, unhex, utf8 } from "../../agent/web/src/wire/bytes.js";

const [folder, seed] = process.argv.slice(2);
const [signed, signature] = ["signed", "signature"].map((name) => new Uint8Array(readFileSync(`${folder}/${name}`)));
const { publicKey, secretKey } = ml_dsa44.keygen(unhex(seed));
const flipped = Array.from({ length: 40 }, (_, number) => {
  const other = signature.slice();
  other[number * 60] ^= 1 << (number % 8);
  return ml_dsa44.verify(other, signed, publicKey);
});
process.stdout.write(
  JSON.stringify({
    key: hex(publicKey),
    verdict: ml_dsa44.verify(signature, signed, publicKey),
    flipped,
    signature: hex(ml_dsa44.sign(utf8("signed in JavaScript"), secretKey)),
  }),
);

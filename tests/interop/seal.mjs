// Seals files with npm `age-encryption` to a recipient.
//
//   node seal.mjs RECIPIENT PLAINTEXT SEALED…

import { readFile, writeFile } from "node:fs/promises";
import { Encrypter } from "age-encryption";

const [recipient, ...files] = process.argv.slice(2);
const encrypter = new Encrypter();
encrypter.addRecipient(recipient);
for (let at = 0; at < files.length; at += 2) {
  await writeFile(files[at + 1], await encrypter.encrypt(await readFile(files[at])));
}

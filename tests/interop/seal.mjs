// Seals a file with npm `age-encryption` to one or more recipients.
//
//   node seal.mjs PLAINTEXT SEALED RECIPIENT…

import { readFile, writeFile } from "node:fs/promises";
import { Encrypter } from "age-encryption";

const [plaintext, sealed, ...recipients] = process.argv.slice(2);
const encrypter = new Encrypter();
for (const recipient of recipients) encrypter.addRecipient(recipient);
await writeFile(sealed, await encrypter.encrypt(await readFile(plaintext)));

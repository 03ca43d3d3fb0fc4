// Seals or opens a file under a passphrase with npm `age-encryption`.
//
//   node passphrase.mjs seal|open PASSPHRASE INPUT OUTPUT

import { readFile, writeFile } from "node:fs/promises";
import { Decrypter, Encrypter } from "age-encryption";

const [direction, passphrase, input, output] = process.argv.slice(2);
const data = await readFile(input);
if (direction === "seal") {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  encrypter.setScryptWorkFactor(10);
  await writeFile(output, await encrypter.encrypt(data));
} else {
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  await writeFile(output, await decrypter.decrypt(data));
}

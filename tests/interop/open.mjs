// Opens an age file with npm `age-encryption`, an implementation that shares no line of code with ours.
//
//   node open.mjs IDENTITY_FILE SEALED OPENED…
//
// More pairs of SEALED and OPENED may follow.
// IDENTITY_FILE: as `age-keygen` writes it.  The proof that footage outlives this project: it needs nothing of
// Doorward.

import { readFile, writeFile } from "node:fs/promises";
import { Decrypter } from "age-encryption";

const [identityFile, ...files] = process.argv.slice(2);
const decrypter = new Decrypter();
for (const line of (await readFile(identityFile, "utf8")).split(/\r?\n/)) {
  if (line && !line.startsWith("#")) decrypter.addIdentity(line);
}
for (let at = 0; at < files.length; at += 2) {
  await writeFile(files[at + 1], await decrypter.decrypt(await readFile(files[at])));
}

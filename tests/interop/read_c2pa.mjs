// @ts-nocheck: the types of c2pa-ts are missing before `npm ci` here, and it lacks some.
// Reads Content Credentials with npm `@trustnxt/c2pa-ts`, which shares no line of code with c2pa-rs, and prints for
// each file if they are valid, with the codes of each finding.
//
//   node read_c2pa.mjs FILE...
//
// c2pa-ts knows MP4's boxes and hashes, but accepts only the brands of HEIC. This accepts any.

import { webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";
import { BMFF, JPEG } from "@trustnxt/c2pa-ts/asset";
import { SuperBox } from "@trustnxt/c2pa-ts/jumbf";
import { ManifestStore, ValidationResult } from "@trustnxt/c2pa-ts/manifest";

// Node 18 of Debian 12 has it elsewhere.
globalThis.crypto ??= webcrypto;
BMFF.canRead = () => true;
for (const path of process.argv.slice(2)) {
  let result;
  try {
    const file = path.endsWith(".jpg") ? new JPEG(await readFile(path)) : new BMFF(await readFile(path));
    result = await ManifestStore.read(SuperBox.fromBuffer(file.getManifestJUMBF())).validate(file);
  } catch (error) {
    result = ValidationResult.fromError(error);
  }
  console.log(JSON.stringify({ valid: result.isValid, codes: result.statusEntries.map((each) => each.code) }));
}

// Makes Node.js what the oldest browsers are that the page is built for (agent/web/src/build.mjs): `crypto` is there,
// which Debian 12's Node.js has elsewhere, and what Safari 16.0 lacks is not.  Imported before the page's own
// modules.
import { webcrypto } from "node:crypto";

globalThis.crypto ??= /** @type {Crypto} */ (webcrypto);
for (const newer of ["isWellFormed", "toWellFormed"]) delete String.prototype[newer];

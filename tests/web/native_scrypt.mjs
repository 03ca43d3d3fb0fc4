// Stands for @noble/hashes/scrypt.js with the scrypt of Node.js: the same function, several times as fast. For tests
// that open many backups: `node --import ./native_scrypt.mjs`. The tests in a browser use the page's own.
import { scryptSync } from "node:crypto";
import { register } from "node:module";

const hooks = `export const resolve = (name, context, next) => name === "@noble/hashes/scrypt.js"
  ? { url: ${JSON.stringify(import.meta.url)}, shortCircuit: true } : next(name, context);`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

/**
 * @param {Uint8Array} password
 * @param {Uint8Array} salt
 * @param {{ N: number, r: number, p: number, dkLen?: number }} options
 */
export function scrypt(password, salt, { N, r, p, dkLen = 32 }) {
  return new Uint8Array(scryptSync(password, salt, dkLen, { N, r, p, maxmem: 256 * N * r }));
}

// The page's information to a player about films, which come as base64.
import { codecOf, fragmentsOf } from "../../agent/web/src/media/fmp4.js";
import { typeOf } from "../../agent/web/src/media/player.js";

const films = JSON.parse(process.argv[2]).map((text) => new Uint8Array(Buffer.from(text, "base64")));
/** @param {boolean} hevc */
const said = (hevc) => {
  globalThis.MediaSource = /** @type {any} */ ({ isTypeSupported: (type) => hevc || !type.includes("hvc1") });
  return films.map((film) => {
    try {
      return typeOf(film).split(";")[0];
    } catch (error) {
      return error.text;
    }
  });
};
process.stdout.write(
  JSON.stringify({
    codecs: films.map(codecOf),
    plays: said(true),
    playsNot: said(false),
    begins: films.map((film) => Buffer.from(fragmentsOf(film).subarray(4, 8)).toString()),
  }),
);

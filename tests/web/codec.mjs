// The page's information to a player about films, which come as base64.
import { codecOf, fragmentsOf } from "../../agent/web/src/media/fmp4.js";

const films = JSON.parse(process.argv[2]).map((text) => new Uint8Array(Buffer.from(text, "base64")));
process.stdout.write(
  JSON.stringify({
    codecs: films.map(codecOf),
    begins: films.map((film) => Buffer.from(fragmentsOf(film).subarray(4, 8)).toString()),
  }),
);

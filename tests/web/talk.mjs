// The page's half of talk on the vectors: reads the offer, seals the frames, and refuses what is not for it.
import "./globals.mjs";
import { readFileSync } from "node:fs";
import { toMulaw } from "../../agent/web/src/media/voice.js";
import { hex, unbase64, unhex } from "../../agent/web/src/wire/bytes.js";
import { parseKey } from "../../agent/web/src/wire/keys.js";
import { frameWriter, readOffer } from "../../agent/web/src/wire/talk.js";

const vector = JSON.parse(readFileSync(new URL("../vectors/talk/session.json", import.meta.url), "utf8"));
const { envelope, challenge, identity } = vector;
const given = { envelope, challenge, identity, sealed: unbase64(vector.sealed), device: await parseKey(vector.device) };
const offer = await readOffer(given);
const seal = await frameWriter(offer.key, offer.session);
const frames = [];
for (const { kind, content } of vector.frames) frames.push(hex(await seal(kind, unhex(content))));

/** @param {object} changed */
const isRefused = (changed) =>
  readOffer({ ...given, ...changed }).then(
    () => false,
    () => true,
  );
const bent = given.sealed.slice();
bent[bent.length - 1] ^= 1;
const stranger = await parseKey(JSON.parse(process.argv[2]));
process.stdout.write(
  JSON.stringify({
    offer: { ...offer, key: hex(offer.key) },
    frames,
    refused: {
      challenge: await isRefused({ challenge: "00".repeat(16) }),
      sealed: await isRefused({ sealed: bent }),
      device: await isRefused({ device: stranger }),
      envelope: await isRefused({ envelope: envelope.replace('"sig":"', '"sig":"A') }),
      nothing: await isRefused({}),
    },
    tooLong: await seal(1, new Uint8Array(510)).then(
      () => false,
      () => true,
    ),
    mulaw: Array.from({ length: 513 }, (_, i) => toMulaw((i - 256) / 256)),
  }),
);

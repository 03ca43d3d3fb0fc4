// The neighbour's browser reads each answer of argv[2], in node: what it found, or "refused" with the error.
import "../../web/globals.mjs";
import { readFileSync } from "node:fs";
import { base64, unbase64 } from "../../../agent/web/src/wire/bytes.js";
import { openItem, readAnswer, readRequest } from "../../../desk/web/answer.js";
import { fragmentOf, keyIn, keyOf, recipientOf } from "../../../desk/web/neighbour_key.js";

const asked = JSON.parse(readFileSync(process.argv[2], "utf8"));
const key = await keyIn(`#${fragmentOf(await keyOf(unbase64(asked.seed)))}`);
if (!key) throw new Error("the fragment holds no key");
const found = { recipient: await recipientOf(key), token: key.token, answers: {} };
for (const { name, request, signer, id, device, parts } of asked.answers) {
  try {
    const own = await readRequest(request, signer);
    const read = await readAnswer(unbase64(parts[0]), own, key.identity, { id, device });
    const items = [];
    for (const item of read.items) {
      const { media, redacted } = await openItem(item, unbase64(parts[item.part]), key.identity);
      items.push({ kind: item.kind, redacted, media: base64(media) });
    }
    found.answers[name] = { items, told: read.told, contact: read.contact ?? null };
  } catch (error) {
    found.answers[name] = { refused: String(error.text ?? error.stack) };
  }
}
process.stdout.write(JSON.stringify(found));

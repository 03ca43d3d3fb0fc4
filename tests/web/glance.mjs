// The picture of the newest alert in this browser: for how long it is shown, also after this device's clock was set.
import "./globals.mjs";
import "./indexed_db.mjs";
import { keepAlert, makeGlanceKey, newestAlert, openPicture } from "../../agent/web/src/owner/glance.js";
import { generateHybridIdentity, identityToRecipient, sealTo, split } from "../../agent/web/src/wire/age.js";
import { base64, fromUtf8 } from "../../agent/web/src/wire/bytes.js";

const MINUTES = 60_000;
const NOW = Date.UTC(2026, 10, 29, 12);
Date.now = () => NOW;
/** @param {string} recipient */
async function sealed(recipient) {
  const file = await sealTo(new TextEncoder().encode("a visitor"), recipient);
  const border = split(file);
  return { header: fromUtf8(file.subarray(0, border)), payload: base64(file.subarray(border)) };
}
const found = { none: await newestAlert() };
const { glance } = await makeGlanceKey();
const picture = await sealed(glance);
for (const minutes of [-1000, -10.01, -10, -1, 0, 10, 10.01, 1000]) {
  await keepAlert(picture, NOW - minutes * MINUTES);
  const shown = await newestAlert();
  found[minutes] = shown && fromUtf8(shown.media);
}
const opens = async (/** @type {any} */ said) => (await openPicture(said)) !== undefined;
const foreign = await sealed(await identityToRecipient(await generateHybridIdentity()));
const damaged = { ...picture, payload: base64(new Uint8Array(60)) };
const odd = [picture, foreign, damaged, null, "picture", {}, { header: 1, payload: 2 }, { ...picture, payload: "?" }];
const opened = [];
for (const each of odd) opened.push(await opens(each));
process.stdout.write(JSON.stringify({ ...found, opened }));

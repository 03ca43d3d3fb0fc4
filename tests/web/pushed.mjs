// The service worker as it is shipped, with alerts that a push service delivers in time, late and again. Prints each
// notification, and what the browser keeps of the picture of the newest alert.
import "./globals.mjs";
import "./indexed_db.mjs";
import { keepAlert, makeGlanceKey } from "../../agent/web/src/owner/glance.js";
import * as store from "../../agent/web/src/owner/store.js";
import { sealTo, split } from "../../agent/web/src/wire/age.js";
import { base64, fromUtf8 } from "../../agent/web/src/wire/bytes.js";

const MINUTE = 60_000;
const NOW = Date.UTC(2026, 10, 29, 12);
Date.now = () => NOW;
/** @type {Record<string, (event: any) => void>} */
const handlers = {};
/** @type {any[]} */
const shown = [];
const registration = {
  showNotification: async (/** @type {string} */ _title, /** @type {any} */ options) => shown.push(options),
};
globalThis.self = /** @type {any} */ ({
  addEventListener: (/** @type {string} */ name, /** @type {any} */ handler) => (handlers[name] = handler),
  registration,
});
globalThis.caches = /** @type {any} */ ({ open: async () => ({ match: async () => undefined }) });
globalThis.location = /** @type {any} */ ({ origin: "https://front-door.local" });
await import(new URL("../../agent/web/static/worker-service.js", import.meta.url).href);

const { glance } = await makeGlanceKey();
const file = await sealTo(new TextEncoder().encode("a visitor"), glance);
const border = split(file);
const picture = { header: fromUtf8(file.subarray(0, border)), payload: base64(file.subarray(border)) };

/** @param {any} message */
async function pushed(message) {
  /** @type {any} */
  let done;
  await keepAlert(undefined, 0);
  handlers.push({ data: { json: () => message }, waitUntil: (/** @type {any} */ end) => (done = end) });
  await done;
  const { tag, renotify, timestamp, data, actions } = shown.at(-1);
  const kept = (await store.alert())?.at;
  return { tag, renotify, timestamp, page: data.page, answers: actions?.length ?? 0, kept };
}
const ring = { title: "Our door", body: "14:03  The doorbell rang.", page: "/live", picture };
const news = { title: "Our door", body: "14:05  The owners of this doorbell have changed.", page: "/settings" };
process.stdout.write(
  JSON.stringify({
    "a ring": await pushed({ ...ring, at: NOW - MINUTE }),
    "a ring without a time": await pushed(ring),
    "a ring of the night before": await pushed({ ...ring, at: NOW - 9 * 60 * MINUTE }),
    "a ring of tomorrow": await pushed({ ...ring, at: NOW + 24 * 60 * MINUTE }),
    movement: await pushed({ ...ring, body: "14:04  Something moved at the door.", page: "/timeline", at: NOW }),
    "the owners changed": await pushed({ ...news, at: NOW }),
    "the owners changed again": await pushed({ ...news, body: news.body.replace("14:05", "15:45"), at: NOW }),
    "the case was opened": await pushed({ ...news, body: "14:06  The doorbell's case was opened.", at: NOW }),
    "several things": await pushed({ ...news, body: `14:04  Something moved.\n${news.body}`, page: "/" }),
  }),
);

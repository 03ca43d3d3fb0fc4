// Opens the page at once, also while the doorbell is off. Caches the program only: answers of the doorbell, footage and
// documents with names stay out of the cache.
//
// Every navigation over HTTPS passes this worker. If the certificate is untrusted, people see the program's words
// instead of a browser's warning, which could be clicked past. So a relay gets no code to run beside the keys of this
// origin, and HSTS is not needed (docs/decisions/0033-no-hsts.md). The authority of a replaced doorbell is at
// http://NAME/install: another origin, which this worker does not see.
import { "alert.answer" as answer, "alert.later" as later } from "../texts/en.json";
import { keepAlert, openPicture } from "./owner/glance.js";
import { base64 } from "./wire/bytes.js";

const CACHE = "doorward-program";
/** An answer from the cache does not wait longer than this for the network. */
const PATIENCE_MS = 400;
/** The files of the program, also those that a page loads only when they are needed, such as at the first word. */
const PROGRAM = [
  "app.js",
  "worker.js",
  "microphone.js",
  "faces.js",
  "faces.bin",
  "follow.js",
  "lossless.js",
  "plates.json",
  "too-old.js",
  "page.css",
  "icon-192.png",
  "icon.svg",
];
const SHELL = "/timeline";
/** The list of the household's doorbells is a separate document, because its policy differs. */
const LIST = "/doorbells";
/** Where an alert may lead: it chooses a page, and no other address. */
const ALERT_PAGES = ["/live", "/timeline", "/requests", "/settings"];
/** An alert that is older came late, or again. Push services keep a message for a day, and could deliver one twice. */
const FRESH_MS = 10 * 60_000;
const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
/** @param {URL} url */
const isShell = (url) =>
  /^\/(requests|timeline|tips|live|history|settings|setup|unlock|ledger|doorbells)(\/|$)/.test(url.pathname);
/** @param {URL} url */
const isProgram = (url) => url.pathname.startsWith("/static/");

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  if (isProgram(url)) event.respondWith(program(event, url));
  else if (event.request.mode === "navigate") event.respondWith(document(event, url));
});

/**
 * A file of the program. The very version that was asked for never changes, so the cache answers at once.
 *
 * @param {FetchEvent} event
 * @param {URL} url
 */
async function program(event, url) {
  const cache = await caches.open(CACHE);
  const same = url.searchParams.has("v") ? await cache.match(event.request) : undefined;
  if (same) return same;
  const network = fetch(event.request).then(async (answer) => {
    if (answer.ok) await replace(cache, url, answer.clone());
    return answer;
  });
  const other = await cache.match(event.request, { ignoreSearch: true });
  return firstOf(event, network, url.searchParams.has("v") ? undefined : other, async () => other);
}

/**
 * A page. The way in (`/`, `/pair`) comes from the network, and the shell stands in only if there is none.
 *
 * @param {FetchEvent} event
 * @param {URL} url
 */
async function document(event, url) {
  const cache = await caches.open(CACHE);
  const network = fetch(event.request).then(async (answer) => {
    if (!answer.ok || answer.redirected) return answer;
    if (/^\/(requests|timeline|live|history|settings)$/.test(url.pathname)) {
      await cache.put(SHELL, answer.clone());
      // These must be there while this doorbell is off, too, and before anyone has used them.
      event.waitUntil(Promise.all([cache.add(LIST), keepProgram(cache, answer.clone())]).catch(() => {}));
    }
    if (url.pathname === LIST) await cache.put(LIST, answer.clone());
    return answer;
  });
  const kept = await cache.match(url.pathname === LIST ? LIST : SHELL);
  return firstOf(event, network, isShell(url) ? kept : undefined, async () => kept);
}

/**
 * Keeps the program that a page names.
 *
 * @param {Cache} cache
 * @param {Response} page
 */
async function keepProgram(cache, page) {
  const html = await page.text();
  const version = /\/static\/app\.js(\?v=[0-9a-f]+)/.exec(html)?.[1] ?? "";
  for (const name of [...PROGRAM, textsOf(html), textsOf(html).replace("texts-", "sentences-")]) {
    const url = new URL(`/static/${name}${version}`, location.origin);
    if (await cache.match(url)) continue;
    const answer = await fetch(url);
    if (answer.ok) await replace(cache, url, answer);
  }
}

/**
 * The file with the texts of a page's language.
 *
 * @param {string} html
 */
const textsOf = (html) => `texts-${/<html lang="([a-z]{2})"/.exec(html)?.[1] ?? "en"}.json`;

/** Keeps the documents in the language that was chosen just now, for times when the doorbell is off. */
async function keepDocuments() {
  const cache = await caches.open(CACHE);
  await cache.addAll([SHELL, LIST]);
  const shell = await cache.match(SHELL);
  if (shell) await keepProgram(cache, shell);
}

worker.addEventListener("message", (event) => {
  if (event.data === "language") event.waitUntil(keepDocuments().catch(() => {}));
});

/**
 * The network's answer, or `kept` if the network takes longer than `PATIENCE_MS`, or what `otherwise` finds if it
 * fails.
 *
 * @param {FetchEvent} event
 * @param {Promise<Response>} network
 * @param {Response | undefined} kept
 * @param {() => Promise<Response | undefined>} otherwise
 */
async function firstOf(event, network, kept, otherwise) {
  const answer = network.catch(async () => (await otherwise()) ?? Response.error());
  if (!kept) return answer;
  event.waitUntil(answer);
  return Promise.race([answer, new Promise((done) => setTimeout(() => done(kept.clone()), PATIENCE_MS))]);
}

/**
 * Keeps one version of each file.
 *
 * @param {Cache} cache
 * @param {URL} url
 * @param {Response} answer
 */
async function replace(cache, url, answer) {
  await cache.delete(url.pathname, { ignoreSearch: true });
  await cache.put(url.href, answer);
}

// An alert of the doorbell, opened here: neutral words, and the page that they are about.
worker.addEventListener("push", (event) => event.waitUntil(show(event.data)));

/** @param {PushMessageData | null} data */
async function show(data) {
  /** @type {{ title?: unknown, body?: unknown, page?: unknown, picture?: unknown, at?: unknown }} */
  let said = {};
  try {
    said = data?.json() ?? {};
  } catch {
    // Foreign or damaged data: the owner still learns that there is something.
  }
  const title = typeof said.title === "string" ? said.title : "Doorward";
  const body = typeof said.body === "string" ? said.body : "";
  const at = typeof said.at === "number" ? said.at : undefined;
  // The visitor of an old ring has gone.
  const isOld = at !== undefined && Math.abs(Date.now() - at) > FRESH_MS;
  const about = ALERT_PAGES.find((each) => each === said.page);
  const page = about && !(isOld && about === "/live") ? about : "/timeline";
  const picture = said.picture === undefined ? undefined : await openPicture(said.picture);
  // Where the system shows no picture, the tapped alert opens on it.
  if (picture && !isOld) await keepAlert(said.picture, at ?? Date.now());
  const image = picture && `data:image/webp;base64,${base64(picture)}`;
  // `image` and `actions` are missing from TypeScript's types: Chromium shows them, Safari and Firefox do not
  // (docs/phones.md).
  const options = /** @type {NotificationOptions} */ ({
    body,
    icon: await iconKept(),
    ...replacing(about, body),
    ...(at !== undefined && { timestamp: at }),
    data: { page, hasPicture: picture !== undefined },
    ...(image && { image }),
    ...(page === "/live" && { actions: await ringActions() }),
  });
  await worker.registration.showNotification(title, options);
}

/**
 * Which alert this one replaces. The next ring replaces a ring, and sounds again. Movement and requests replace their
 * like without a sound. Any other news stays beside them until its owner has seen it: a stranger who walks past must
 * not take away that the owners have changed.
 *
 * @param {string | undefined} about the page that the alert is about
 * @param {string} body
 * @returns {{ tag: string, renotify?: boolean }}
 */
function replacing(about, body) {
  if (about === "/live") return { tag: "doorward ring", renotify: true };
  if (about === "/timeline" || about === "/requests") return { tag: `doorward ${about}` };
  return { tag: `doorward ${body.replaceAll(/\d\d:\d\d/g, "")}` };
}

/**
 * The icon from the cache, as data. A system fetches an icon before it shows the alert, and the doorbell, which has it,
 * cannot be reached from another network: the alert would wait for the end of that attempt, a minute and a half.
 */
async function iconKept() {
  const kept = await (await caches.open(CACHE)).match("/static/icon-192.png", { ignoreSearch: true });
  return kept && `data:image/png;base64,${base64(new Uint8Array(await kept.arrayBuffer()))}`;
}

/**
 * A ring is answered with one tap. "Later" only closes the alert: the ring stays on the timeline. The texts are those
 * of the page's language, from the cache: the doorbell cannot be asked from another network.
 */
async function ringActions() {
  const cache = await caches.open(CACHE);
  const shell = await cache.match(SHELL);
  const kept = shell && (await cache.match(`/static/${textsOf(await shell.text())}`, { ignoreSearch: true }));
  // English until the first page was kept.
  const texts = kept ? await kept.json() : { "alert.answer": answer, "alert.later": later };
  return ["answer", "later"].map((action) => ({ action, title: String(texts[`alert.${action}`]) }));
}

worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  if (event.action !== "later") event.waitUntil(showPage(event.notification.data?.page ?? "/timeline"));
});

/**
 * Shows the page in the open window, because its keys may be unlocked, or in a new one.
 *
 * @param {string} page
 */
async function showPage(page) {
  const [open] = await worker.clients.matchAll({ type: "window" });
  if (!open) return worker.clients.openWindow(page);
  open.postMessage({ page });
  return open.focus();
}

// Opens the page offline and tells the user so. Caches the program only: answers of the doorbell, footage and documents
// with names stay out of the cache.
import { openPicture } from "./owner/glance.js";
import { base64 } from "./wire/bytes.js";

const CACHE = "doorward-program";
/** Where an alert may lead: it chooses a page, and no other address. */
const ALERT_PAGES = ["/live", "/timeline", "/requests", "/settings"];
const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
// The sign-in pages always come from the network: a doorbell that replaced this one, of the same name, must be able to
// give its authority and take a code.
/** @param {URL} url */
const isDocument = (url) =>
  /^\/(requests|timeline|tips|live|history|settings|setup|unlock|ledger)(\/|$)/.test(url.pathname);
/** @param {URL} url */
const isProgram = (url) => url.pathname.startsWith("/static/");

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  if (isProgram(url)) event.respondWith(fromNetworkFirst(event.request));
  else if (event.request.mode === "navigate" && isDocument(url))
    event.respondWith(fromNetworkOrShell(event.request, url));
});

/** @param {Request} request */
async function fromNetworkFirst(request) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(new URL(request.url).pathname, answer.clone());
    return answer;
  } catch {
    return (await cache.match(new URL(request.url).pathname)) ?? Response.error();
  }
}

/**
 * @param {Request} request
 * @param {URL} url
 */
async function fromNetworkOrShell(request, url) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    const isShell =
      answer.ok && !answer.redirected && /^\/(requests|timeline|live|history|settings)$/.test(url.pathname);
    if (isShell) await cache.put("/timeline", answer.clone());
    return answer;
  } catch {
    return (await cache.match("/timeline")) ?? Response.error();
  }
}

// An alert of the doorbell, opened here: neutral words, and the page that they are about.
worker.addEventListener("push", (event) => event.waitUntil(show(event.data)));

/** @param {PushMessageData | null} data */
async function show(data) {
  /** @type {{ title?: unknown, body?: unknown, page?: unknown, picture?: unknown }} */
  let said = {};
  try {
    said = data?.json() ?? {};
  } catch {
    // Foreign or damaged data: the owner still learns that there is something.
  }
  const title = typeof said.title === "string" ? said.title : "Doorward";
  const body = typeof said.body === "string" ? said.body : "";
  const page = ALERT_PAGES.find((each) => each === said.page) ?? "/timeline";
  const picture = said.picture === undefined ? undefined : await openPicture(said.picture);
  const image = picture && `data:image/webp;base64,${base64(picture)}`;
  // `image` is missing from TypeScript's types: Chromium shows it (Android, Windows, Linux), Safari and Firefox do not.
  const options = /** @type {NotificationOptions} */ ({
    body,
    icon: "/static/icon-192.png",
    tag: "doorward",
    data: { page, hasPicture: picture !== undefined },
    ...(image && { image }),
  });
  await worker.registration.showNotification(title, options);
}
worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(showPage(event.notification.data?.page ?? "/timeline"));
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

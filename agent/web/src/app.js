// The program of the page: finds out where this browser stands, then shows what the address names.
import { LostError, PageError, RefusedError } from "./errors.js";
import { go, lock, showWith } from "./navigation.js";
import { noteUse } from "./pages/alerts.js";
import { away } from "./pages/away.js";
import { doorbells } from "./pages/doorbells.js";
import { event } from "./pages/event.js";
import { history } from "./pages/history.js";
import { door, live } from "./pages/live.js";
import { ownerless } from "./pages/ownerless.js";
import { pairing } from "./pages/pair.js";
import { replaced } from "./pages/replaced.js";
import { request } from "./pages/request.js";
import { requests } from "./pages/requests.js";
import { settings } from "./pages/settings.js";
import { setup } from "./pages/setup.js";
import { timeline } from "./pages/timeline.js";
import { tips } from "./pages/tips.js";
import { unlock } from "./pages/unlock.js";
import { call } from "./ui/client.js";
import { dismissAll, say } from "./ui/dialogs.js";
import { existing, h } from "./ui/dom.js";
import { lockWhenIdle } from "./ui/idle.js";
import { noteAnswer } from "./ui/last_seen.js";
import { entitled, look as lookNow, watchLiveStatus } from "./ui/live_status.js";
import { onLock } from "./ui/other_windows.js";
import { explain, language, speak, t } from "./ui/texts.js";
import { trustedUrl } from "./ui/trusted_types.js";

/** @typedef {(content: HTMLElement, ...values: any[]) => unknown} Page shows itself; may return how to leave it */

/** @type {[RegExp, Page][]} */
const ROUTES = [
  [/^\/requests$/, requests],
  [/^\/requests\/([0-9a-f]{32}|[0-9a-f]{64})$/, request],
  [/^\/timeline$/, timeline],
  [/^\/timeline\/([a-z2-7]{26})$/, event],
  [/^\/tips$/, tips],
  [/^\/tips\/([a-z2-7]{26})$/, tips],
  [/^\/live$/, live],
  [/^\/history$/, history],
  [/^\/settings$/, settings],
];
/** A doorbell that takes longer is said to be away while the page waits on. */
const PATIENCE_MS = 1500;

const TEXTS_AGAIN_MS = 1000;

let leave = () => {};
let turn = 0;
/** @type {string | undefined} */
let currentPath;

/**
 * Shows the page of the present address. If the user taps on before that page is there, it changes nothing and ends as
 * soon as it comes.
 */
async function show() {
  const mine = ++turn;
  leave();
  leave = () => {};
  dismissAll();
  currentPath = location.pathname;
  const main = existing("main");
  const late = setTimeout(() => mine === turn && showAway(main), PATIENCE_MS);
  try {
    const standing = await sessionState().finally(() => clearTimeout(late));
    if (mine !== turn) return;
    leave();
    const [page, ...values] = standing ?? pageOf(location.pathname);
    // Bare: a page in place of the asked one, without open keys, such as unlocking or live view by the glance key.
    document.body.dataset.bare = standing ? "true" : "false";
    const content = h("div.page");
    main.replaceChildren(content);
    markNavigation();
    void lookNow();
    const left = (await completed(page, content, values)) ?? (() => {});
    if (mine !== turn) return left();
    leave = left;
    main.querySelector("h1")?.setAttribute("tabindex", "-1");
    entitled(main.querySelector("h1")?.textContent ?? "");
  } catch (error) {
    if (mine !== turn) return;
    if (error instanceof RefusedError && error.status === 401) return location.assign("/pair");
    if (error instanceof LostError) return showAway(main);
    main.replaceChildren(trouble(error));
  }
}

/**
 * Waits until the page is there. Meanwhile a line says that the doorbell is asked, and later what to do (page.css).
 *
 * @param {Page} page
 * @param {HTMLElement} content
 * @param {unknown[]} values
 * @returns {Promise<(() => void) | undefined>} how to leave the page
 */
async function completed(page, content, values) {
  const shown = page(content, ...values);
  const line = h(
    "div.progress",
    { role: "status", "aria-live": "polite" },
    h("p.quiet", t("progress")),
    h("p", t("progress.late")),
  );
  content.append(line); // after the heading, which a page shows at once
  try {
    return /** @type {(() => void) | undefined} */ (await shown);
  } finally {
    line.remove();
  }
}

/** @param {HTMLElement} main */
function showAway(main) {
  leave();
  const content = h("div.page.trouble");
  main.replaceChildren(content);
  leave = away(content, show);
  entitled(t("away.title"));
}

/**
 * Another doorbell, one that lost its owners, set-up, unlocking and joining come before everything else.
 *
 * @returns {Promise<[Page, ...unknown[]] | undefined>}
 */
async function sessionState() {
  // A ring is answered with one tap: the way to the door is opened while the doorbell is asked at home.
  const reached = location.pathname === "/live" ? call("reachDoor") : Promise.resolve(false);
  const hello = await call("hello");
  if (hello.session) noteAnswer();
  existing("#doorbell").textContent = hello.doorbell;
  const { name, unlocked, isOther, hadOwner } = await call("state", { device: hello.device });
  if (!unlocked) reloadWhenUpdated(hello.program);
  if (isOther) return [replaced, hello];
  if (!hello.claimed && hadOwner) return [ownerless, hello];
  if (!hello.claimed || !name) return [setup, hello];
  if (unlocked && hello.owner) return undefined;
  return (await reached) ? [door, hello] : [unlock, hello];
}

/**
 * Loads the new program once after an upgrade, if the page holds nothing to lose. Phones keep a page open for weeks.
 *
 * @param {string} program
 */
function reloadWhenUpdated(program) {
  const own = new URL(import.meta.url).searchParams.get("v");
  if (!own || !program || own === program || sessionStorage.getItem("program") === program) return;
  sessionStorage.setItem("program", program);
  location.reload();
}

/**
 * @param {string} path
 * @returns {[Page, ...string[]]}
 */
function pageOf(path) {
  for (const [pattern, page] of ROUTES) {
    const found = pattern.exec(path);
    if (found) return [page, ...found.slice(1)];
  }
  globalThis.history.replaceState(null, "", "/timeline");
  return [timeline];
}

/** @param {any} error */
function trouble(error) {
  return h(
    "div.page.trouble",
    h("h1", t("trouble")),
    h("p", { role: "alert" }, explain(error)),
    h("button", { type: "button", onclick: () => show() }, t("again")),
  );
}

function markNavigation() {
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = location.pathname.startsWith(link.getAttribute("href") ?? "");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** @param {MouseEvent} event */
function followLinks(event) {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const path = link.getAttribute("href") ?? "";
  if (!path.startsWith("/") || link.hasAttribute("download") || !ROUTES.some(([pattern]) => pattern.test(path))) return;
  event.preventDefault();
  go(path).then(() => {
    scrollTo(0, 0);
    const heading = document.querySelector("main h1");
    if (heading instanceof HTMLElement) heading.focus({ preventScroll: true });
  });
}

const idlePage = {
  // The steps after the set-up are bare, and hold the owner's passphrase.
  isOpen: () => document.body.dataset.bare !== "true" || document.querySelector("main .rest") !== null,
  isPlaying: () => [...document.querySelectorAll("video")].some((video) => !video.paused),
  lock,
};

/**
 * @param {string} selector
 * @returns {NodeListOf<HTMLElement>}
 */
const elements = (selector) => document.querySelectorAll(selector);

/** @param {any} event */
async function chooseLanguage({ target }) {
  const [chosen] = target.selectedOptions;
  try {
    await speak(chosen.value);
  } catch {
    target.value = language();
    return say(t("error.lost"));
  }
  document.cookie = `__Host-language=${chosen.value}; Secure; Path=/; SameSite=Strict; Max-Age=31536000`;
  if (["pair", "doorbells"].includes(document.body.dataset.section ?? "")) return location.reload();
  // Set in place, because a reload would lock the keys.
  document.documentElement.dir = chosen.dir;
  for (const each of elements("[data-text]")) each.textContent = t(each.dataset.text ?? "");
  for (const each of elements("[data-label]")) each.setAttribute("aria-label", t(each.dataset.label ?? ""));
  navigator.serviceWorker?.controller?.postMessage("language");
  // The doorbell writes this browser's alerts in the language of its page.
  noteUse().catch(() => {});
  return show();
}

/** Waits for the texts. Without them the page could say nothing, not even that the doorbell is off. */
async function firstTexts() {
  while (true) {
    try {
      return await speak(language());
    } catch {
      await new Promise((done) => setTimeout(done, TEXTS_AGAIN_MS));
    }
  }
}

document.documentElement.dataset.runs = "";
await firstTexts();
showWith(show);
// A jump to the content stays on this page.
addEventListener("popstate", () => {
  if (location.pathname !== currentPath) void show();
});
// The service worker asks for the page that a tapped alert is about.
navigator.serviceWorker?.addEventListener("message", ({ data }) => {
  if (typeof data?.page === "string" && data.page !== location.pathname) void go(data.page);
});
addEventListener("offline", () => say(t("error.lost")));
// Shows the error of a button; most buttons show it beside themselves.
addEventListener("unhandledrejection", ({ reason }) => reason instanceof PageError && say(explain(reason)));
if (location.pathname !== "/doorbells") document.addEventListener("click", followLinks);
document.querySelector("#language")?.addEventListener("change", chooseLanguage);
if (document.body.dataset.section === "pair") {
  void pairing();
} else if (location.pathname === "/doorbells") {
  doorbells();
} else {
  lockWhenIdle(idlePage);
  onLock(lock);
  watchLiveStatus();
  void show();
}
navigator.serviceWorker?.register(trustedUrl("/worker-service.js")).catch(() => {});

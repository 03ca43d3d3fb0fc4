// A real browser on a leash: one JSON object a line in, one a line out.  Each has a function body to run with
// `{browser, pages, open, axe, axed, args}`; `pages` are the open pages by name, `open(name, options)` makes one.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { chromium, firefox } from "playwright-core";

const settings = JSON.parse(process.argv[2]);
const common = { executablePath: settings.executable, headless: true, env: { ...process.env, HOME: settings.home } };
const isFirefox = settings.kind === "firefox";
// Debian's Firefox as it is, over WebDriver BiDi; playwright-core 1.65 asks it for a command that it lacks.
const browser = isFirefox
  ? await firefox.launch({
      ...common,
      channel: "moz-firefox",
      firefoxUserPrefs: {
        "network.dns.localDomains": "front-door.local",
        "media.autoplay.default": 0,
        ...Object.fromEntries((settings.flags ?? []).map((each) => JSON.parse(each))),
      },
    })
  : await chromium.launch({
      ...common,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP *.local 127.0.0.1",
        ...(settings.flags ?? []),
      ],
    });
const pages = {};
const troubles = {};
/** Acts on a page that was opened with `counts`, by the page's name: kind, a thing's words, Unix time in s. */
const acts = {};
const AsyncFunction = /** @type {FunctionConstructor} */ ((async () => {}).constructor);

/**
 * @param {string} name
 * @param {import("playwright-core").BrowserContextOptions & { counts?: boolean }} [options]
 */
async function open(name, { isMobile, counts, ...options } = {}) {
  // Firefox has no such mode.
  const mobile = isMobile && !isFirefox ? { isMobile } : {};
  const context = await browser.newContext({
    viewport: { width: 390, height: 844 },
    deviceScaleFactor: 1,
    acceptDownloads: true,
    locale: "en-GB",
    timezoneId: "Europe/Amsterdam",
    ...options,
    ...mobile,
  });
  if (counts) await count(context, name);
  const page = await context.newPage();
  if (counts)
    page.on("download", () => {
      // The press that got a file is part of its installation.
      const [, words] = acts[name].at(-1)?.[0] === "press" ? acts[name].pop() : ["", ""];
      acts[name].push(["install", words, Date.now() / 1000]);
    });
  page.setDefaultTimeout(settings.timeout_ms ?? 20_000);
  troubles[name] = [];
  page.on("pageerror", (error) => troubles[name].push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") troubles[name].push(message.text());
  });
  pages[name] = page;
  return page;
}

/**
 * Writes down what reaches the page's own elements, whichever way the test does it. The rule that makes steps of it is
 * in steps.py.
 *
 * @param {import("playwright-core").BrowserContext} context
 * @param {string} name
 */
async function count(context, name) {
  acts[name] = [];
  await context.exposeBinding("acted", (_source, kind, words) => acts[name].push([kind, words, Date.now() / 1000]));
  await context.addInitScript(() => {
    const { acted } = /** @type {any} */ (globalThis);
    /** @type {EventTarget | null} */
    let field = null;
    const wordsOf = (/** @type {any} */ each) => (each.labels?.[0] ?? each).textContent.trim().slice(0, 60);
    addEventListener(
      "input",
      ({ target }) => {
        if (target !== field) acted("field", wordsOf(target));
        field = target;
      },
      true,
    );
    addEventListener(
      "click",
      (event) => {
        const pressed = /** @type {Element} */ (event.target).closest("button, a, summary, label, input, select");
        if (pressed?.matches("label, input:not([type=button], [type=submit]), select")) return;
        field = null;
        acted("press", wordsOf(pressed ?? event.target));
      },
      true,
    );
    const shown = new WeakSet();
    new MutationObserver(() => {
      for (const code of document.querySelectorAll(".shown-code")) {
        if (!shown.has(code)) acted("scan", "");
        shown.add(code);
      }
    }).observe(document, { childList: true, subtree: true });
  });
}

/**
 * Axe's findings against WCAG 2.2 A and AA: the number of kept rules, and a line for each broken one.
 * @param {import("playwright-core").Page} page
 * @param {string[]} [only] these rules alone
 */
async function axed(page, only = []) {
  const source = await readFile(new URL("./node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
  const standards = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const chosen = only.length ? { type: "rule", values: only } : standards;
  const rules = JSON.stringify({ runOnly: chosen });
  const node = '(n) => n.html.slice(0, 160) + " " + (n.any[0]?.message ?? "")';
  const line = `(v) => v.id + ": " + v.help + " | " + v.nodes.map(${node}).join(" || ")`;
  const expression = `axe.run(document, ${rules}).then(({passes, violations}) =>
    JSON.stringify({kept: passes.length, broken: violations.map(${line})}))`;
  // Through the debugger: the page's own policy would let no foreign script in.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: source });
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
    expression,
    awaitPromise: true,
  });
  await session.detach();
  if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
  return JSON.parse(result.value);
}

const axe = async (page) => (await axed(page)).broken;

process.stdout.write(`${JSON.stringify({ ready: browser.version() })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const { code, args } = JSON.parse(line);
  let answer;
  try {
    const value = await new AsyncFunction(
      "tools",
      `const { browser, pages, open, axe, axed, troubles, acts, args } = tools;\n${code}`,
    )({
      browser,
      pages,
      open,
      axe,
      axed,
      troubles,
      acts,
      args,
    });
    answer = { value: value ?? null };
  } catch (error) {
    // The state of the pages at the failure, stored beside the driver's log.
    for (const [name, page] of Object.entries(pages)) {
      await page.screenshot({ path: `${settings.home}/failed-${name}.png`, fullPage: true }).catch(() => {});
    }
    answer = { error: `${error.stack ?? error}\n${JSON.stringify(troubles)}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();

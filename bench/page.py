"""The owner's page: what it costs to open, to scroll through years, and to decrypt.  `python -m bench.page`.

And what Lighthouse would ask of each page, measured the way it does (its mobile CPU: four times slower; its limits in
brackets), with a home network instead of its mobile one: first and largest paint, shifts, blocked time, accessibility.

Limits in the same run: raw ChaCha20-Poly1305 of the same library (WebCrypto has none), and the plain fetch of the same
bytes.  Needs Chromium and `npm ci` in tests/browser.
"""

# ruff: noqa: E501 — the scripts that run in the browser keep their lines
from __future__ import annotations

import contextlib
import gzip
import os
import resource
import tempfile
from pathlib import Path
from typing import Any

from tests.browser.browser import Browser
from tests.browser.house import PASSPHRASE, PHONE, House, Phones, a_house, years_of_events

EVENTS = 10_000
STATIC = Path(__file__).resolve().parents[1] / "agent" / "web" / "static"

_DECRYPTION = """
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { Encrypter, Decrypter, generateHybridIdentity, identityToRecipient } from "age-encryption";
const bytes = 16 << 20, plain = new Uint8Array(bytes), key = new Uint8Array(32), nonce = new Uint8Array(12);
const timed = async (what) => { const at = performance.now(); await what(); return bytes / (performance.now() - at) / 1000; };
const sealed = []; for (let i = 0; i < bytes / 65536; i++) sealed.push(chacha20poly1305(key, nonce).encrypt(plain.subarray(0, 65536)));
const raw = () => { for (const chunk of sealed) chacha20poly1305(key, nonce).decrypt(chunk); };
const identity = await generateHybridIdentity(), encrypter = new Encrypter();
encrypter.addRecipient(await identityToRecipient(identity));
const file = await encrypter.encrypt(plain), decrypter = new Decrypter(); decrypter.addIdentity(identity);
raw(); const rates = { raw: [], age: [] };
for (let i = 0; i < 3; i++) { rates.raw.push(await timed(raw)); rates.age.push(await timed(() => decrypter.decrypt(file))); }
const small = await encrypter.encrypt(new Uint8Array(30000)); let at = performance.now();
for (let i = 0; i < 20; i++) await decrypter.decrypt(small);
self.postMessage({ raw: Math.max(...rates.raw), age: Math.max(...rates.age), poster: (performance.now() - at) / 20 });
"""


def main() -> None:
    sizes()
    with tempfile.TemporaryDirectory() as folder:
        in_a_browser(Path(folder))


def sizes() -> None:
    for name in ("app.js", "worker.js", "page.css"):
        data = (STATIC / name).read_bytes()
        print(f"{name:10} {len(data) / 1000:7.1f} kB, gzip {len(gzip.compress(data, 9)) / 1000:6.1f} kB")


def in_a_browser(folder: Path) -> None:
    clip = next(
        path
        for path in (Path(".cache/vtest.avi"), Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi"))
        if path.is_file()
    )
    with a_house(folder, clip) as house:
        home = folder / "home"
        home.mkdir()
        with Browser(home, house.authority, timeout_ms=120_000) as browser:
            people = Phones(house, browser)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            people.pair("ana")
            print(
                f"memory of the process with the page served: {_resident_mb():.0f} MB (peak before {before / 1024:.0f} MB)"
            )
            print(f"load /pair, cold to ready: {_load_ms(people, house):.0f} ms")
            people.claim("ana")
            people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
            house.record()
            first_pictures(people)
            vitals(people, house)
            years_of_events(house, EVENTS)
            timeline_of_years(people)
            decryption(people)


def _load_ms(people: Phones, house: House) -> float:
    people.browser.open("fresh", **PHONE)
    return float(
        people.run(
            "fresh",
            """const at = performance.now();
               await page.goto(args.url + "/pair");
               await page.getByLabel("Code").waitFor();
               return performance.now() - at;""",
            url=house.url,
        )
    )


def vitals(people: Phones, house: House) -> None:
    """Each page opened again on a phone with a quarter of this CPU, 20 Mbit/s and 10 ms of delay."""
    print(f"{'':10} first paint [1800]  largest [2500]  shifts [0.1]  blocked [200]  axe: rules kept, broken")
    for path in ("/pair", "/install", "/requests", "/timeline", "/history", "/settings"):
        found = people.run(
            "ana",
            """const session = await page.context().newCDPSession(page);
               await session.send("Network.enable");
               await session.send("Network.emulateNetworkConditions", {offline: false, latency: 10, downloadThroughput: 2.5e6, uploadThroughput: 2.5e6});
               await session.send("Emulation.setCPUThrottlingRate", {rate: 4});
               await page.addInitScript(() => {
                 const seen = globalThis.__seen = {largest: 0, shifts: 0, blocked: 0};
                 const watch = (type, take) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({type, buffered: true});
                 watch("largest-contentful-paint", (entry) => (seen.largest = entry.startTime));
                 watch("layout-shift", (entry) => entry.hadRecentInput || (seen.shifts += entry.value));
                 watch("longtask", (entry) => (seen.blocked += Math.max(0, entry.duration - 50)));
               });
               await page.goto(args.url + args.path);
               await page.locator("h1").first().waitFor();
               const field = page.locator("form #passphrase");
               await page.waitForTimeout(1500);
               const first = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0);
               const seen = await page.evaluate(() => ({...globalThis.__seen}));
               await session.send("Emulation.setCPUThrottlingRate", {rate: 1});
               if (await field.count()) {
                 await field.fill(args.passphrase);
                 await page.getByRole("button", {name: "Unlock"}).click();
                 await page.locator("body[data-bare=false]").waitFor();
                 await page.waitForTimeout(800);
               }
               await session.detach();
               return {first, ...seen, ...(await axed(page))};""",
            url=house.url,
            path=path,
            passphrase=PASSPHRASE,
        )
        print(
            f"{path:10} {found['first']:11.0f} ms {found['largest']:14.0f} ms {found['shifts']:13.3f} "
            f"{found['blocked']:11.0f} ms {found['kept']:17}, {len(found['broken'])}"
        )


def first_pictures(people: Phones) -> None:
    people.go("ana", "/requests")
    poster, frame = people.run(
        "ana",
        """let at = performance.now();
           await page.locator("nav a[href='/timeline']").click();
           await page.locator(".tile img[src^=blob]").first().waitFor();
           const poster = performance.now() - at;
           at = performance.now();
           await page.locator(".tile").first().click();
           await page.waitForFunction(() => document.querySelector("video")?.readyState >= 2);
           return [poster, performance.now() - at];""",
    )
    print(
        f"first still after opening the timeline: {poster:.0f} ms; first frame after opening an event: {frame:.0f} ms"
    )


def timeline_of_years(people: Phones) -> None:
    people.go("ana", "/requests")
    found: dict[str, Any] = people.run(
        "ana",
        """let at = performance.now();
           await page.locator("nav a[href='/timeline']").click();
           await page.locator(".tile img[src^=blob]").first().waitFor();
           const opened = performance.now() - at;
           const frames = await page.evaluate(() => new Promise((resolve) => {
             const times = []; let last = performance.now(), y = 0;
             const step = (now) => {
               times.push(now - last); last = now; y += 400; scrollTo(0, y);
               if (times.length < 120) requestAnimationFrame(step); else resolve(times.slice(1));
             };
             requestAnimationFrame(step);
           }));
           const rows = await page.locator(".line").count();
           await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
           at = performance.now();
           await page.locator(".tile img[src^=blob]").last().waitFor();
           frames.sort((a, b) => a - b);
           return {opened, p50: frames[60], p95: frames[113], rows, end: performance.now() - at};""",
    )
    print(
        f"timeline of {EVENTS} events: opens in {found['opened']:.0f} ms, scrolls at {found['p50']:.1f} ms a frame "
        f"(p95 {found['p95']:.1f}), {found['rows']} rows exist at once, its far end shows in {found['end']:.0f} ms"
    )


def decryption(people: Phones) -> None:
    """In a worker of the same browser, on a separate page: the owner's page blocks foreign scripts."""
    import subprocess

    source = Path(__file__).resolve().parents[1] / "agent" / "web" / "src"
    bundle = subprocess.run(
        ["node", "node_modules/esbuild/bin/esbuild", "--bundle", "--format=esm", "--minify"],
        input=_DECRYPTION, cwd=source, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    people.browser.open("bench", **PHONE)
    found = people.run(
        "bench",
        """const type = {"/": "text/html", "/w.js": "text/javascript"};
           await page.context().route("https://bench.local/**", (route) => {
             const path = new URL(route.request().url()).pathname;
             return route.fulfill({contentType: type[path], body: path === "/w.js" ? args.code : "<title>bench</title>"});
           });
           await page.goto("https://bench.local/");
           return page.evaluate(() => new Promise((resolve, reject) => {
             const worker = new Worker("/w.js", {type: "module"});
             worker.onmessage = ({data}) => resolve(data);
             worker.onerror = (event) => reject(new Error(event.message));
           }));""",
        code=bundle,
    )
    print(
        f"decryption in the browser: {found['age']:.0f} MB/s of age files; ChaCha20-Poly1305 alone, same library, "
        f"{found['raw']:.0f} MB/s; a 30 kB still {found['poster']:.1f} ms, its hybrid key included"
    )


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()

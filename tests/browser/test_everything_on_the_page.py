"""All of the page in a real browser: `make test-browser`.  `make test` runs the core of it and skips this, visibly."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import threading
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.clients.opening import open_bytes, parse_identity
from agent.clients.requester import messages, receiving_service
from agent.clients.requester.identity import Requester
from agent.clients.requester.publisher import publish
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.clients.requester.request_builder import RequestDraft
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, seconds
from agent.core.transfer.values import receipt_for
from agent.core.vault.records import GapReason
from agent.errors import OpenError
from agent.platform.system_clock import SystemClock
from agent.wire.area import Circle
from agent.wire.disclosures import Receipt
from agent.wire.fields import Incident, Kind, OnwardKind
from agent.wire.identities import private_key_from_seed
from agent.wire.messages import Contact, Onward
from agent.wire.statements import Settings
from tests.browser.home import Home
from tests.browser.house import PASSPHRASE, PHONE, a_house, phones, years_of_events
from tests.browser.proxy import RecordingProxy
from tests.damage import with_another_end
from tests.recorder.test_recorder_and_hardware import LiveCamera
from tests.scenarios.street import DOOR, Asker, SlowLink, until
from tests.wire import samples

TEXTS = Path(__file__).resolve().parents[2] / "agent" / "web" / "texts"
pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def test_no_is_as_near_as_yes_and_nothing_leaves(home: Home) -> None:
    people, request = home.people, home.asked("2026-1")
    people.open_request("ana", request)
    drawn = people.run(
        "ana",
        """const figure = page.locator("figure.outline svg");
           const inside = async (what) => { const box = await figure.locator(what).boundingBox(); return [box.x + box.width / 2, box.y + box.height / 2]; };
           return {area: await inside("ellipse"), door: await inside("circle"), label: await figure.getAttribute("aria-label"),
                   near: await page.getByText("of it lies within 200 m of your door.").innerText()};""",
    )
    assert drawn["door"] == pytest.approx(drawn["area"], abs=1.0), "the requester asked around this door"
    assert "with your door in it" in drawn["label"]
    assert "25 % of it lies within 200 m" in drawn["near"], "a circle of 400 m"
    sizes = people.run(
        "ana",
        """const size = async (name) => { const box = await page.getByRole("button", {name, exact: true}).boundingBox(); return [box.width, box.height]; };
           return {no: await size("Say no"), yes: await size("Share what I chose")};""",
    )
    assert sizes["no"][1] >= sizes["yes"][1]
    people.run("ana", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.sign("ana", "Sign my no")
    until(lambda: home.house.state_of(request) == "denied", "the refusal")
    assert home.house.street.published() == []
    assert people.browser.troubles("ana") == []


def test_a_wrong_passphrase_decides_nothing_and_may_be_typed_again(home: Home) -> None:
    people, request = home.people, home.asked("2026-2")
    people.open_request("ana", request)
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Say no", exact: true}).click();
           const dialog = page.getByRole("dialog");
           await dialog.getByLabel("Passphrase").fill("not the passphrase");
           await dialog.getByRole("button", {name: "Sign my no"}).click();
           await dialog.getByText("This is not the passphrase.").waitFor();""",
    )
    assert home.house.state_of(request) == "pending"
    people.sign("ana", "Sign my no")
    until(lambda: home.house.state_of(request) == "denied", "the refusal")


def test_opting_out_silences_what_waits_and_opting_in_lifts_it(home: Home) -> None:
    people, request = home.people, home.asked("2026-3")
    people.open_request("ana", request)
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Do not ask me this"}).click();
           await page.getByRole("button", {name: "Requests about this: Theft"}).click();""",
    )
    people.sign("ana", "Sign and keep silent")
    until(lambda: home.house.state_of(request) == "opted out", "the opt-out")
    second = home.police.ask("2026-4")
    until(lambda: home.house.state_of(second.id) == "opted out", "the second request to be silenced")
    people.go("ana", "/settings")
    people.run("ana", 'await page.getByRole("button", {name: "Ask me again"}).click();')
    people.sign("ana", "Sign")
    until(lambda: not home.house.control("requests", all=False)["opt_outs"], "the opt-in")
    assert home.house.street.published() == []


def test_a_yes_can_be_taken_back_before_a_byte_of_it_leaves(home: Home) -> None:
    people, request = home.people, home.asked("2026-5")
    people.open_request("ana", request)
    people.tick_first_clip("ana")
    people.share("ana")
    people.run("ana", 'await page.getByRole("button", {name: "Take it back"}).click();')
    people.sign("ana", "Sign and take back")
    until(lambda: home.house.state_of(request) == "revoked", "the revocation")
    people.run("ana", 'await page.getByRole("heading", {name: "You took it back"}).waitFor();')


def test_sending_shows_its_progress_and_can_be_stopped(tmp_path: Path, footage: Path) -> None:
    with a_house(tmp_path, footage) as house:
        link = SlowLink(house.street.broker.device_port, 150_000)
        try:
            house.restart(broker_port=link.port)
            with phones(house, tmp_path) as people:
                home = Home(house, people)
                request = home.asked("2026-6")
                people.open_request("ana", request)
                people.tick_first_clip("ana")
                people.share("ana")
                news: list[ReceiverEvent] = []
                with home.police.receiving(news):
                    until(lambda: house.state_of(request) == "sending", "the upload to begin")
                    people.run("ana", 'await page.getByText("sent until now").waitFor();')
                    people.run("ana", 'await page.getByRole("button", {name: "Stop sending"}).click();')
                    people.sign("ana", "Sign and take back")
                    until(lambda: house.state_of(request) == "stopped", "the stop")
            house.solo.stop()
        finally:
            link.close()


def test_a_second_owner_joins_by_qr_and_the_doorbell_cannot_slip_in_another(home: Home) -> None:
    people = home.people
    address = home.invite("ana")
    # The other phone has to know the doorbell first: the dialog says where its authority is, and how to compare it.
    page = home.house.solo.page
    assert page is not None
    shown = str(people.run("ana", 'return page.locator(".dialog").textContent();'))
    assert page.install_url in shown
    assert page.certificates.fingerprint in shown
    # The doorbell tries to show a forged card. It lacks the secret, which never reaches it.
    home.house.solo.page._operations._cards["forged"] = '{"card": "{}", "mac": "00"}'  # type: ignore[union-attr]
    home.join("ben", address, "ana")
    assert home.house.control("status")["owners"] == ["owner-1", "owner-2"]
    # Footage from now on opens on both phones; from before, only on the first.
    home.house.record()
    people.go("ben", "/requests")
    people.go("ben", "/timeline")
    people.run("ben", 'await page.locator(".tile img[src^=blob]").first().waitFor();')
    # … and one owner can let the other go.
    people.go("ana", "/settings")
    people.remove_owner("ana", "owner-2")
    until(lambda: home.house.control("status")["owners"] == ["owner-1"], "the removal")
    # The old phone is signed out: it needs another code, and reads nothing of the household meanwhile.
    people.go("ben", "/requests")
    people.run("ben", 'await page.waitForURL("**/pair");')


def test_the_recovery_kit_brings_an_owner_back_on_a_new_phone_for_good(home: Home) -> None:
    people = home.people
    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.getByLabel("Days at most").fill("7");
           await page.locator("#settings-keeping").getByRole("button", {name: "Sign and save"}).click();""",
    )
    people.sign("ana", "Sign")
    people.browser.run("await pages.ana.context().close()")
    people.pair("new")
    people.run(
        "new",
        """await page.getByText("I have my recovery kit").click();
           await page.getByLabel("The key on the kit").fill(args.kit);""",
        kit=f"  {home.house.kit[:40]}\n {home.house.kit[40:].lower()} ",
    )
    people.make_keys("new", "Put new keys in place")
    # The roots that the lost keys chose are signed, so the owner types none of them.
    people.run("new", "await page.getByText(/^“owner-1” chose this root on/).waitFor();")
    people.run("new", 'await page.getByText("The rijnstad-police").waitFor();')
    people.come_in("new", "Trust them too")
    # The lost keys leave the list by default.
    assert home.house.control("status")["owners"] == ["owner-new"]
    # The kit opens what was recorded for the lost keys, in this session and in every later one.
    people.run("new", 'await page.locator(".tile img[src^=blob]").first().waitFor();')
    people.run("new", "await page.reload();")
    people.unlock("new")
    people.go("new", "/timeline")
    people.run("new", 'await page.locator(".tile img[src^=blob]").first().waitFor();')
    people.go("new", "/history")
    people.run("new", 'await page.getByRole("heading", {name: "Complete and unchanged"}).waitFor();')
    # Settings from the lost browser stay while another setting changes.
    people.go("new", "/settings")
    people.run(
        "new",
        """await page.getByLabel("Name of the doorbell").fill("Back door");
           await page.locator("#settings-place").getByRole("button", {name: "Sign and save"}).click();""",
    )
    people.sign("new", "Sign")
    until(lambda: settings_of(home).name == "Back door", "the name")
    assert settings_of(home).max_age_days == 7
    people.open_request("new", home.asked("2026-20"))
    people.run("new", 'await page.getByText("The rijnstad-police").first().waitFor();')


def test_a_second_owner_takes_over_the_roots_in_the_settings_and_one_that_nobody_signed_is_not_offered(
    home: Home,
) -> None:
    people = home.people
    home.join("ben", home.invite("ana"), "ana")
    request = home.asked("2026-21")
    people.go("ben", f"/requests/{request}")
    people.run("ben", 'await page.getByText("is not confirmed in this browser").waitFor();')
    people.go("ben", "/settings")
    people.run("ben", 'await page.locator("#settings-trust").getByText(/^“owner-1” chose this root on/).waitFor();')
    # The doorbell names another root, which it made up. The page shows it, but no owner chose it.
    trust = home.house.solo.custodian.control._trust
    made_up = samples.pair(private_key_from_seed(b"m" * 32))
    with trust.lock:
        trust.store = trust.store.with_root(made_up)
    people.go("ben", "/timeline")
    people.go("ben", "/settings")
    people.run(
        "ben",
        """const section = page.locator("#settings-trust");
           await section.getByText(args.id).waitFor();
           if (await section.getByText(/chose this root on/).count() !== 1) throw new Error("one root was chosen");
           await section.getByRole("button", {name: "Trust them too"}).click();
           await section.getByText(/chose this root on/).waitFor({state: "detached"});
           if (await section.getByText("chosen in another browser").count() !== 1) throw new Error("one stays open");""",
        id=made_up.id,
    )
    people.open_request("ben", request)
    assert people.browser.troubles("ben") == []


def settings_of(home: Home) -> Settings:
    found = home.house.solo.custodian.settings.current
    assert found is not None
    return found


def test_a_kit_that_was_replaced_opens_nothing_newer_and_is_refused_by_its_name(home: Home) -> None:
    people, old = home.people, home.house.kit
    people.go("ana", "/settings")
    people.run("ana", 'await page.getByRole("button", {name: "Replace the kit"}).click();')
    new = people.run(
        "ana",
        """await page.locator(".kit").waitFor();
           const kit = (await page.locator(".secret").innerText()).replaceAll(/\\s/g, "");
           await page.getByLabel("The last 6 characters").fill(kit.slice(-6));
           await page.getByRole("button", {name: "I have it on paper"}).click();
           await page.getByRole("heading", {name: "Replace the kit"}).waitFor();
           return kit;""",
    )
    people.sign("ana", "Sign and replace")
    assert new != old
    before = set(stored_segments(home))
    home.house.record()
    newest = next(path for path in stored_segments(home) if path not in before).read_bytes()
    assert open_bytes(newest, [parse_identity(str(new))])
    with pytest.raises(OpenError):
        open_bytes(newest, [parse_identity(old)])
    enrolment = home.house.solo.custodian.enrolments.current
    assert enrolment is not None
    assert [each.name for each in enrolment.approvers] == ["owner-1", "recovery"]
    people.pair("thief")
    people.run(
        "thief",
        """await page.getByText("I have my recovery kit").click();
           await page.getByLabel("The key on the kit").fill(args.kit);""",
        kit=old,
    )
    people.make_keys("thief", "Put new keys in place")
    people.run("thief", 'await page.getByText("This doorbell\'s is age1pq1").waitFor();')
    assert home.house.control("status")["owners"] == ["owner-1"]


def test_a_film_that_is_sealed_to_other_keys_says_so_and_is_not_called_damaged(home: Home) -> None:
    people = home.people
    home.join("ben", home.invite("ana"), "ana")
    people.go("ben", "/timeline")
    people.run(
        "ben",
        """await page.locator(".tile").first().click();
           await page.getByText("This is not sealed to your keys").waitFor();
           if (await page.getByText("damaged").count()) throw new Error("nothing is damaged");""",
    )


def stored_segments(home: Home) -> list[Path]:
    return sorted((home.house.street.state_dir / "vault" / "segments").glob("*/*.age"))


def test_keys_that_were_backed_up_come_back_with_their_passphrase(home: Home, tmp_path: Path) -> None:
    people = home.people
    people.go("ana", "/settings")
    path = str(tmp_path / "backup.json")
    people.run(
        "ana",
        """const saved = page.waitForEvent("download");
           await page.getByRole("button", {name: "Save a backup"}).click();
           await (await saved).saveAs(args.path);""",
        path=path,
    )
    assert b"AGE-SECRET" not in Path(path).read_bytes()
    people.pair("new")
    people.run(
        "new",
        """await page.getByText("I have a backup of my keys").click();
           await page.getByLabel("Backup file").setInputFiles(args.path);
           await page.locator("#backup-passphrase").fill(args.passphrase);
           await page.getByRole("button", {name: "Bring my keys back"}).click();
           await page.waitForURL("**/timeline");
           await page.locator("body[data-bare=false]").waitFor();""",
        path=path,
        passphrase=PASSPHRASE,
    )


def test_a_film_can_be_saved_and_plays_elsewhere(home: Home, tmp_path: Path) -> None:
    import av

    people, path = home.people, str(tmp_path / "film.mp4")
    people.go("ana", "/timeline")
    people.run(
        "ana",
        """await page.locator(".tile").first().click();
           const saved = page.waitForEvent("download");
           await page.getByRole("button", {name: "Save as MP4"}).click();
           await (await saved).saveAs(args.path);""",
        path=path,
    )
    with av.open(path) as film:
        times = [float(frame.pts * frame.time_base) for frame in film.decode(video=0)]
    assert len(times) > 100
    assert times == sorted(times)
    assert times[-1] > 10


def test_where_a_browser_cannot_stream_segments_play_one_behind_the_other(home: Home) -> None:
    people = home.people
    people.browser.open("old", **PHONE)
    people.run(
        "old",
        "await page.addInitScript(() => { delete globalThis.MediaSource; });",
    )
    people.run("old", "await page.context().addCookies(await pages.ana.context().cookies());")
    # The keys come along as a backup would bring them.
    people.go("ana", "/settings")
    backup = people.run(
        "ana",
        """const saved = page.waitForEvent("download");
           await page.getByRole("button", {name: "Save a backup"}).click();
           const parts = await (await (await saved).createReadStream()).toArray();
           return Buffer.concat(parts).toString();""",
    )
    people.run(
        "old",
        """await page.goto(args.url + "/timeline");
           await page.getByText("I have a backup of my keys").click();
           await page.getByLabel("Backup file").setInputFiles({name: "b.json", mimeType: "application/json", buffer: Buffer.from(args.backup)});
           await page.locator("#backup-passphrase").fill(args.passphrase);
           await page.getByRole("button", {name: "Bring my keys back"}).click();
           await page.locator("body[data-bare=false]").waitFor();""",
        url=home.house.url,
        backup=backup,
        passphrase=PASSPHRASE,
    )
    people.go("old", "/timeline")
    people.run(
        "old",
        """await page.locator(".tile").first().click();
           await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.2);
           const src = await page.locator("video").getAttribute("src");
           if (!src.startsWith("blob:")) throw new Error(src);""",
    )


def test_live_shows_what_is_filmed_now_and_stores_nothing_of_it(tmp_path: Path, footage: Path) -> None:
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        house.solo.recorder._loop._open_camera = LiveCamera
        filming = threading.Thread(target=house.solo.record)
        filming.start()
        until(lambda: house.solo.recorder.delivering, "the camera")
        people.go("ana", "/live")
        said, played_s = people.run(
            "ana",
            """await page.waitForFunction(() => document.querySelector("video")?.currentTime > 2);
               return [await page.getByRole("status").first().textContent(),
                 await page.evaluate(() => document.querySelector("video").currentTime)];""",
        )
        stored = house.solo.recorder.status().segments
        house.solo.stop()
        filming.join()
    assert said.startswith("Live, ")
    assert int(re.findall(r"\d+", said)[0]) <= 4
    assert played_s > 2
    assert stored == 0


def test_each_second_of_live_view_leaves_nothing_behind(tmp_path: Path, footage: Path) -> None:
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        house.solo.recorder._loop._open_camera = LiveCamera
        filming = threading.Thread(target=house.solo.record)
        filming.start()
        until(lambda: house.solo.recorder.delivering, "the camera")
        people.go("ana", "/live")
        listeners = people.run(
            "ana",
            """const session = await page.context().newCDPSession(page);
               await session.send("Performance.enable");
               const shown = (end) => page.waitForFunction((end) => document.querySelector("video")?.currentTime > end, end);
               const listeners = async () => (await session.send("HeapProfiler.collectGarbage"), await session.send("Performance.getMetrics")).metrics.find(({name}) => name === "JSEventListeners").value;
               await shown(2);
               const before = await listeners();
               await shown(12);
               return [before, await listeners()];""",
        )
        house.solo.stop()
        filming.join()
    assert listeners[1] <= listeners[0] + 6


def test_where_the_clocks_differ_live_says_so_and_shows_nothing_old_as_new(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SystemClock, "_ask", lambda clock, utc_ns: ClockQuality.SYNCED)
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        people.run(
            "ana", "await page.evaluate(() => { const now = Date.now; Date.now = () => now() + 3 * 3_600_000; });"
        )
        house.solo.recorder._loop._open_camera = LiveCamera
        filming = threading.Thread(target=house.solo.record)
        filming.start()
        until(lambda: house.solo.recorder.delivering, "the camera")
        people.go("ana", "/live")
        people.run("ana", 'await page.getByText("Compare that clock with this device\'s.").waitFor();')
        assert not people.run("ana", 'return page.locator("video").isVisible();')
        house.solo.stop()
        filming.join()


def test_when_nothing_is_filmed_live_shows_the_newest_sealed_segment(home: Home) -> None:
    people = home.people
    people.go("ana", "/live")
    behind = people.run(
        "ana",
        """await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.1);
           return page.locator("main").getByRole("status").first().textContent();""",
    )
    assert "s ago" in behind


def test_a_lost_connection_is_said_and_nothing_is_lost(tmp_path: Path, footage: Path) -> None:
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        home = Home(house, people)
        request = home.asked("2026-7")
        people.open_request("ana", request)
        people.tick_first_clip("ana")
        people.run("ana", 'await page.getByRole("button", {name: "Share what I chose"}).click();')
        people.run("ana", "await page.context().setOffline(true);")
        people.run(
            "ana",
            """const dialog = page.getByRole("dialog");
               await dialog.getByLabel("Passphrase").fill(args.passphrase);
               await dialog.getByRole("button", {name: "Sign and share"}).click();
               await dialog.getByText("The doorbell does not answer").waitFor();""",
            passphrase=PASSPHRASE,
        )
        assert house.state_of(request) == "pending"
        people.run("ana", "await page.context().setOffline(false);")
        people.sign("ana", "Sign and share")
        until(lambda: house.state_of(request) in ("approved", "sending"), "the approval")
        # Off and on again, in the middle of looking: the page says so, and goes on when it is back.
        house.close()
        people.run("ana", 'await page.locator("nav a[href=\\"/timeline\\"]").click();')
        people.run("ana", 'await page.getByText("The doorbell does not answer").first().waitFor();')
        house.footage = None
        house.solo = house._build()
        # The page goes on without a tap.
        people.run("ana", 'await page.locator(".tile img[src^=blob]").first().waitFor();')


def test_the_server_never_sees_a_key_or_a_plaintext_frame(tmp_path: Path, footage: Path) -> None:
    with a_house(tmp_path, footage) as house:
        proxy = RecordingProxy(house.port, house.street.state_dir, house.authority)
        assert house.solo.page is not None
        guard_hosts = frozenset({f"front-door.local:{proxy.port}"})
        house.answer_to(guard_hosts)
        try:
            with phones(house, tmp_path) as people:
                people.browser.open("ana", **PHONE)
                people.run(
                    "ana",
                    """await page.goto(`https://front-door.local:${args.port}/`);
                       await page.getByLabel("Code").fill(args.code);
                       await page.getByRole("button", {name: "Continue"}).click();
                       await page.getByRole("heading", {level: 1}).waitFor();""",
                    port=proxy.port,
                    code=house.code(),
                )
                kit = people.claim("ana")
                people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
                house.record()
                police = Asker(house.street, "rijnstad-police", Kind.POLICE)
                people.trust("ana", police.root.text, police.bundle, "The rijnstad-police")
                request = police.ask("2026-8")
                until(lambda: house.state_of(request.id) == "pending", "the request to match")
                people.open_request("ana", request.id)
                people.run(
                    "ana",
                    """await page.locator(".clip").first().scrollIntoViewIfNeeded();
                       await page.locator(".clip img[src^=blob]").first().waitFor();""",
                )
                people.run("ana", 'await page.locator("summary", {hasText: "Add how to reach me"}).click();')
                people.run("ana", 'await page.getByLabel("Street").fill("Canary street 7");')
                people.tick_first_clip("ana")
                people.share("ana")
                until(lambda: house.state_of(request.id) in ("approved", "sending"), "the approval")
        finally:
            proxy.close()
        sent = bytes(proxy.sent)
        assert b"/api/statement" in sent
        assert len(sent) > 20_000
        # Everything that was recorded, opened here with the recovery kit: of each file a piece of its middle.
        stored = list((house.street.state_dir / "vault" / "segments").rglob("*.age"))
        assert len(stored) > 10
        plain = [open_bytes(path.read_bytes(), [parse_identity(kit)]) for path in stored]
        canaries = [data[len(data) // 2 :][:24] for data in plain]
        canaries += [kit.encode(), kit[20:40].encode(), PASSPHRASE.encode(), b"Canary street"]
        canaries += [b"\xff\xd8\xff\xe0\x00\x10JFIF", b"ftypiso", b"\x00\x10mfhd"]
        for canary in canaries:
            assert canary not in sent, canary
            # … nor does what comes back hold a picture: only ciphertext crosses.
            assert canary not in bytes(proxy.received), canary
        # The program that comes back knows these words; what is sent never holds them.
        for canary in (b"AGE-SECRET-KEY", b"PRIVATE KEY", b"\xff\xd8\xff\xe0"):
            assert canary not in sent, canary
        # Nor do the device's files or its log.
        for path in house.street.state_dir.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert kit[20:40].encode() not in data
                assert PASSPHRASE.encode() not in data


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "{{7*7}} ${7*7} #{7*7}",
    "'; DROP TABLE requests; --",
    '"><script>window["owned"]=1</script>',
)


def test_what_a_requester_writes_stays_text(home: Home) -> None:
    people = home.people
    police = home.police
    for number, words in enumerate(HOSTILE):
        now_s = SystemClock().now().utc_ns // NS_PER_S
        question = RequestDraft(
            area=Circle(lat=DOOR[0], lon=DOOR[1], radius_m=400),
            from_s=now_s - 3600,
            to_s=now_s + 1,
            not_after_s=now_s + 7 * 86_400,
            case=f"<b>{number}</b>",
            incident=Incident.THEFT,
            description=words,
            contact=Contact(name="<i>The desk</i>", phone="12345678"),
            retention_days=90,
            onward=Onward(to=(OnwardKind.APPEAL,), basis="<u>Article 5</u>"),
            language="en",
        )
        signed = messages.make_request(police.requester, question, now_s=now_s)
        with police.connected() as bus:
            publish(signed, bus, now_s=now_s)
        until(lambda: home.house.state_of(signed.id) == "pending", "the request")  # noqa: B023
        people.open_request("ana", signed.id)
        shown = people.run(
            "ana",
            """await page.locator("blockquote", {hasText: args.words}).waitFor();
               return {words: await page.locator("blockquote").innerText(), title: await page.title(),
                       made: await page.locator("main img[src=x], main script, main i, main .facts b, main u").count()};""",
            words=words,
        )
        assert shown["words"] == words
        assert shown["made"] == 0
        assert "owned" not in shown["title"]
    assert people.browser.troubles("ana") == []


def test_before_the_yes_the_page_says_what_the_requester_promises(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    people, request = home.people, home.asked("2026-12")
    people.open_request("ana", request)
    keeps = "states that it keeps what you share for 90 days from its arrival"
    passed = "Law or policy may make it pass your footage on to: courts and prosecutors."
    shown = str(people.run("ana", 'return page.locator("main").innerText();'))
    assert "90 days from its arrival, unless a law or a court requires longer." in shown
    assert "In their words: Police Act" in " ".join(shown.split())
    people.tick_first_clip("ana")
    people.run("ana", 'await page.getByRole("button", {name: "Share what I chose"}).click();')
    asked = str(people.run("ana", 'return page.locator(".dialog").innerText();'))
    assert keeps in asked
    assert passed in asked
    assert "Parts that have left cannot be called back" in asked
    people.sign("ana", "Sign and share")
    left = people.run("ana", 'const left = page.locator(".left"); await left.waitFor(); return left.innerText();')
    assert keeps in str(left), "and beside what was shared"

    def ten_years(*held: Any, **said: Any) -> Receipt:
        return receipt_for(*held, **said | {"retention_days": said["retention_days"] and 3650})

    monkeypatch.setattr(receiving_service, "receipt_for", ten_years)
    with home.police.receiving([]):
        until(lambda: home.house.state_of(request) == "sent", "the receipt")
    people.run("ana", 'await page.getByText("It says it keeps this for 3,650 days (about 10 years).").waitFor();')
    people.run("ana", 'await page.getByText("When you shared, it had promised 90 days.").waitFor();')
    # The audit of what left the door needs the reply key, so the statement comes from a copy of the requester.
    now_s = SystemClock().now().utc_ns // NS_PER_S
    folder = home.police.requester.folder
    shutil.copytree(folder, folder.with_name("deletes"), ignore=shutil.ignore_patterns("connection.lock"))
    deleting = Requester.open(folder.with_name("deletes"))
    with home.police.connected() as bus:
        publish(messages.make_deletion(deleting, request, now_s=now_s), bus, now_s=now_s)
    people.run("ana", 'await page.getByText("says it deleted all of it on").waitFor();')
    people.run("ana", 'await page.getByText("The requester states it deleted it").waitFor();')
    assert people.browser.troubles("ana") == []


def test_a_promise_is_said_in_the_owners_language_and_a_requesters_words_carry_theirs(home: Home) -> None:
    people, request = home.people, home.asked("2026-13")
    people.run("ana", 'await page.getByLabel("Language").selectOption("es");')
    people.open_request("ana", request)
    shown = people.run(
        "ana",
        """await page.locator("blockquote").waitFor();
           return {words: await page.locator("blockquote p").getAttribute("lang"),
                   law: await page.locator(".facts bdi", {hasText: "Police Act"}).getAttribute("lang"),
                   text: await page.locator("main").innerText()};""",
    )
    assert (shown["words"], shown["law"]) == ("en", "en")
    spanish = json.loads((TEXTS / "es.json").read_text())
    for sentence in (spanish["promise.kept.text"].replace("{days}", "90 días"), spanish["onward.court"]):
        assert sentence in shown["text"], sentence


def test_hostile_files_in_the_vault_are_named_and_break_nothing(home: Home) -> None:
    people, folder = home.people, home.house.street.state_dir / "vault" / "segments"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    segments = [path for path in files if not path.name.endswith(".poster.age")]
    assert len(segments) >= 4
    damage = (
        b"not an age file at all",
        b"age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 30\n" + b"A" * 4096,
        b"",
    )
    for path, data in zip(segments, itertools.cycle(damage), strict=False):
        path.chmod(0o600)
        path.write_bytes(data)
    for path in files:
        if path.name.endswith(".poster.age"):
            path.chmod(0o600)
            path.write_bytes(with_another_end(path.read_bytes()))
    # Load again: footage opened before the damage is still in the page's memory.
    people.run("ana", "await page.reload();")
    people.unlock("ana")
    people.go("ana", "/timeline")
    people.run(
        "ana",
        """await page.locator(".tile img.failed").first().waitFor();
           await page.locator(".tile").last().click();
           await page.getByRole("alert").filter({hasText: /./}).first().waitFor();
           await page.locator("nav a[href='/requests']").click();
           await page.getByRole("heading", {name: "Requests", level: 1}).waitFor();""",
    )


def test_the_page_speaks_spanish(home: Home, screenshots: Path) -> None:
    people = home.people
    people.run(
        "ana",
        """await page.getByLabel("Language").selectOption("es");
           await page.locator("nav a[href='/timeline']").click();
           await page.getByRole("heading", {name: "Cronología", level: 1}).waitFor();""",
    )
    assert people.run("ana", "return page.evaluate(() => document.documentElement.lang)") == "es"
    people.run(
        "ana",
        "await page.waitForTimeout(500); await page.screenshot({path: args.path});",
        path=str(screenshots / "timeline-phone-es.png"),
    )


def test_the_keyboard_alone_reaches_a_decision(home: Home) -> None:
    people, request = home.people, home.asked("2026-11")
    people.go("ana", "/requests")
    people.run(
        "ana",
        """const reach = async (test) => {
             for (let i = 0; i < 80; i++) {
               await page.keyboard.press("Tab");
               if (await page.evaluate(test)) return;
             }
             throw new Error("not reached: " + test);
           };
           await reach(() => document.activeElement.textContent === "Look at it");
           await page.keyboard.press("Enter");
           await page.getByRole("heading", {name: "The rijnstad-police"}).waitFor();
           await reach(() => document.activeElement.textContent === "Say no");
           await page.keyboard.press("Enter");
           await page.getByRole("dialog").waitFor();
           await page.keyboard.type(args.passphrase);
           await page.keyboard.press("Enter");
           await page.getByRole("dialog").waitFor({state: "detached"});""",
        passphrase=PASSPHRASE,
    )
    until(lambda: home.house.state_of(request) == "denied", "the refusal")


def test_the_page_installs_and_opens_when_the_doorbell_is_away(home: Home) -> None:
    people = home.people
    ready = people.run(
        "ana",
        """await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
           const manifest = await page.evaluate(async () => (await fetch("/manifest.webmanifest")).json());
           await page.reload();
           await page.getByRole("heading", {level: 1}).waitFor();
           return manifest;""",
    )
    assert ready["display"] == "standalone"
    assert {icon["sizes"] for icon in ready["icons"]} >= {"192x192", "512x512"}
    people.run("ana", 'await page.goto(args.url + "/requests"); await page.waitForTimeout(500);', url=home.house.url)
    kept = people.run(
        "ana",
        """return page.evaluate(async () => {
             const cache = await caches.open("doorward-program");
             return (await cache.keys()).map((request) => new URL(request.url).pathname);
           });""",
    )
    assert not [path for path in kept if path.startswith("/api")]
    home.house.close()
    home.house.footage = None
    try:
        people.run(
            "ana",
            'await page.goto(args.url + "/requests"); await page.getByText("does not answer").first().waitFor();',
            url=home.house.url,
        )
    finally:
        home.house.solo = home.house._build()


def test_thousands_of_events_are_a_few_rows_at_a_time_and_the_oldest_is_reached(home: Home) -> None:
    people = home.people
    years_of_events(home.house, 10_000)
    people.go("ana", "/timeline")
    found = people.run(
        "ana",
        """await page.locator(".tile img[src^=blob]").first().waitFor();
           const rows = [];
           for (const share of [0, 0.25, 0.5, 0.75, 1]) {
             await page.evaluate((share) => scrollTo(0, share * document.documentElement.scrollHeight), share);
             await page.waitForFunction(() => [...document.querySelectorAll(".tile")].some((tile) => {
               const {top, bottom} = tile.getBoundingClientRect();
               return top < innerHeight && bottom > 0;
             }));
             rows.push(await page.locator(".line").count());
           }
           const oldest = page.locator(".tile").last();
           await oldest.scrollIntoViewIfNeeded();
           const tall = await page.evaluate(() => document.documentElement.scrollHeight);
           return {rows, tall, oldest: await oldest.getAttribute("href")};""",
    )
    oldest = home.house.solo.page._operations._timeline.events(0, 2**53)[-1]  # type: ignore[union-attr]
    assert found["oldest"] == f"/timeline/{oldest['event']}"
    assert max(found["rows"]) < 40
    assert found["tall"] > 500_000
    assert people.browser.troubles("ana") == []


def test_time_without_footage_is_told_and_events_are_found_by_what_they_were(home: Home) -> None:
    people, vault = home.people, home.house.solo.vault
    years_of_events(home.house, 6)
    now = SystemClock().now()
    start, end = now.at(BootNs(now.boot_ns - seconds(30))), now.at(BootNs(now.boot_ns - seconds(10)))
    # As the recorder tells of it: at once, when it begins, and whole, when it is over.  The last one goes on.
    vault.record_gap(GapReason.PRIVACY, start, start)
    vault.record_gap(GapReason.PRIVACY, start, end)
    vault.record_gap(GapReason.CAMERA_LOST, end, end)
    local = [datetime.fromtimestamp(each.utc_ns / NS_PER_S, ZoneInfo("Europe/Amsterdam")) for each in (start, end)]
    began, ended = (each.strftime("%H:%M") for each in local)
    if began == ended:
        began, finished = (each.strftime("%H:%M:%S") for each in local)
    else:
        finished = ended
    people.go("ana", "/timeline")
    shown = people.run(
        "ana",
        """await page.locator(".tile img[src^=blob]").first().waitFor();
           const all = await page.locator(".tile").count();
           const gaps = await page.locator(".line.gap").allInnerTexts();
           const found = {};
           for (const name of ["The doorbell rang", "Someone came near", "Motion"]) {
             await page.getByRole("button", {name, exact: true}).click();
             await page.locator(`.chip[aria-pressed="true"]`, {hasText: name}).waitFor();
             found[name] = await page.locator(".tile .what").allInnerTexts();
           }
           return {all, gaps, found};""",
    )
    assert shown["gaps"] == [
        f"From {ended} on: no footage, camera lost",
        f"{began} – {finished}: no footage, privacy switch",
    ]
    assert shown["all"] == 7
    assert [len(words) for words in shown["found"].values()] == [3, 2, 2]
    # The still's label has priority over plain motion.
    named = {
        "The doorbell rang": "The doorbell rang",
        "Someone came near": "Someone came near",
        "Motion": "Person|Motion",
    }
    for name, words in shown["found"].items():
        assert all(re.search(named[name], each) for each in words), (name, words)


def test_the_page_opens_with_a_few_files_and_the_second_time_with_none(home: Home) -> None:
    """bench/page.py measures the time; this test counts the files."""
    people = home.people
    people.browser.open("fresh", **PHONE)
    first, second = people.run(
        "fresh",
        """const visit = async () => {
             await page.goto(args.url + "/pair");
             await page.getByLabel("Code").waitFor();
             return page.evaluate(() => performance.getEntriesByType("resource")
               .filter(({name}) => /[.](js|css)[?]v=/.test(name)).map(({name, transferSize}) => [name, transferSize]));
           };
           return [await visit(), await visit()];""",
        url=home.house.url,
    )
    assert 2 <= len(first) <= 3
    assert all(name.startswith(home.house.url) and size > 0 for name, size in first)
    assert [name for name, _ in second] == [name for name, _ in first]
    assert all(size == 0 for _, size in second)

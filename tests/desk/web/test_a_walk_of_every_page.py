"""Every page of the desk in a real Chromium, as each role, a guest and a stranger see it.

Each address that a person may open answers without an error. Axe finds nothing on its page, the page fits a desktop
and a tablet, and the Tab key reaches each control in the order of the page, with a ring that can be seen.

`make test` walks as a viewer, on a desktop, without the pages that are the same for each person. `make test-browser`
walks as everybody, in English and in Dutch, and keeps a picture of each page in build/screenshots/desk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from agent.core.media import Gop
from agent.errors import ConfigurationError
from desk.config import Public
from desk.export.models import GuestLink
from desk.people import one_time_links
from desk.people.models import Person
from desk.people.roles import Role
from tests.browser.browser import Browser, require_browser
from tests.clients.requester.conftest import gops
from tests.desk import looking
from tests.desk.agencies import PASSWORD, Agency, browser
from tests.desk.asking.served_desk import DRAWS
from tests.desk.looking import DESKTOP, TABLET
from tests.desk.people.test_sign_in import add_passkey
from tests.desk.routes import routes
from tests.desk.served import DeskPages, desk_pages
from tests.desk.soft_passkeys import SoftPasskey
from tests.desk.web.filled_desk import FilledDesk, fill

__all__ = ["gops"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

WHOLE = os.environ.get("DOORWARD_BROWSER") == "all"
VIEWS = {"desktop": DESKTOP, "tablet": TABLET} if WHOLE else {"desktop": DESKTOP}
LANGUAGES = ("en", "nl")
LOCALES = {"en": "en-GB", "nl": "nl-NL"}
SHARE = (("viewer", "en"),)
"""The walk of `make test`."""
WALKS = [
    (who, language)
    if (who, language) in SHARE
    else pytest.param(who, language, marks=pytest.mark.at_length("make test-browser"))
    for who in (*(role.value for role in Role), "guest", "stranger")
    for language in LANGUAGES
]
ROUTES = {route.name: route for route in routes()}
SAME_FOR_ALL = (
    "people:no-organisation", "people:account", "account_logout", "account_reauthenticate", "account_change_password",
)  # fmt: skip
"""Pages that are the same for each signed-in person. The viewer walks them."""
WITH_A_PASSKEY = ("mfa_add_webauthn", "mfa_edit_webauthn", "mfa_reauthenticate_webauthn", "mfa_remove_webauthn")
"""Pages of a person with a passkey who has just signed in. The admin walks them."""
PUBLIC = (
    "account_login", "numbers:numbers", "numbers:csv", "neighbourhood:bulletins", "neighbourhood:bulletin",
    "neighbourhood:feed", "neighbourhood:cap", "neighbourhood:proof", "neighbourhood:tip", "neighbourhood:tip-token",
    "neighbourhood:neighbours", "neighbourhood:ask", "neighbourhood:write", "neighbourhood:mine",
    "neighbourhood:neighbour-token", "neighbourhood:notices-feed", "neighbourhood:notice", "neighbourhood:notice-cap",
    "neighbourhood:notice-proof", "socialaccount_login_cancelled",
)  # fmt: skip
FILES = {
    "cases:film": "the film of a player (tests/desk/cases)",
    "asking:tiles": "a map of the organisation, which this desk has not (tests/desk/asking/test_tile_file.py)",
}
NO_PAGE = {
    "people:new-organisation": "only the desk's first admin sees it (tests/desk/people/test_in_a_browser.py)",
    "socialaccount_login_error": "walked by a stranger, and answers with 401",
    "people:one-time-link": "walked with a fresh link, by a stranger",
    "people:sign-out-everywhere": "a button",
    "people:choose": "a button",
    "export:guest": "walked by a guest",
    "export:guest-door": "walked by a guest",
    "export:guest-play": "a button, pressed by a guest",
    "export:guest-download": "a button",
    "export:guest-film": "a film",
    "neighbourhood:send-tip": "called by the page of tips",
    **dict.fromkeys(
        (
            "neighbourhood:send",
            "neighbourhood:report",
            "neighbourhood:mine-state",
            "neighbourhood:mine-part",
            "neighbourhood:appeal",
            "neighbourhood:withdraw",
        ),
        "called by the pages of neighbours",
    ),
    "mfa_authenticate": "only after a password of a person with a passkey: reached by a stranger",
    "mfa_list_webauthn": "leads to the account",
    "mfa_index": "leads to the start page or the account",
    "mfa_login_webauthn": "called by the page of signing in",
    "openid_connect_login": "leads to the identity provider",
    "openid_connect_callback": "comes from the identity provider",
    **{route.name: "no page" for route in routes() if route.pattern.startswith("accounts/absent/")},
    **{route.name: "the interface of programs" for route in routes() if route.app == "api"},
}
"""Addresses that are no page, or a page that another test looks at, each with the reason."""
KEYBOARD = """
const page = pages[args.page];
await page.evaluate(() => {
  const every = 'a[href], button, input, select, textarea, summary, [tabindex], video[controls], audio[controls]';
  const seen = (node) => !node.disabled && node.tabIndex >= 0 && node.checkVisibility({visibilityProperty: true});
  // The Tab key reaches one button of a radio group, and the arrows reach the others.
  const ofGroup = (node) => node.type !== "radio" ||
    node === (node.form.querySelector(`input[name="${node.name}"]:checked`) ??
              node.form.querySelector(`input[name="${node.name}"]`));
  globalThis.controls = [...document.querySelectorAll(every)].filter((node) => seen(node) && ofGroup(node));
  document.body.tabIndex = -1; // the Tab key begins at the top, also after a click
  document.body.focus();
  document.body.removeAttribute("tabindex");
  getSelection()?.removeAllRanges();
});
const count = await page.evaluate(() => controls.length);
const faults = [];
let last = -1;
for (let presses = 0; presses < 4 * count + 20 && last < count - 1; presses += 1) {
  await page.keyboard.press("Tab");
  const at = await page.evaluate(() => {
    const node = document.activeElement;
    const style = getComputedStyle(node);
    const box = [...node.getClientRects()].find((each) => each.width && each.height) ?? node.getBoundingClientRect();
    const over = document.elementFromPoint(box.x + Math.min(box.width, 12) / 2, box.y + Math.min(box.height, 12) / 2);
    return {
      index: controls.indexOf(node),
      name: node.getAttribute("aria-label") || node.name || node.textContent.trim().slice(0, 40) || node.tagName,
      ring: style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2,
      shown: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
      covered: over !== null && !node.contains(over) && !over.contains(node),
    };
  });
  if (at.index < 0 || at.index === last) continue; // the document itself, or inside of a player
  if (at.index !== last + 1) faults.push(`after ${last} comes ${at.index} (${at.name})`);
  if (!at.ring) faults.push(`no ring: ${at.name}`);
  if (!at.shown) faults.push(`out of sight: ${at.name}`);
  if (at.covered) faults.push(`covered: ${at.name}`);
  if (at.index < last) break;
  last = at.index;
}
if (last !== count - 1) {
  const missed = await page.evaluate((last) => controls[last + 1]?.outerHTML.slice(0, 120), last);
  faults.push(`the Tab key stops after ${last + 1} of ${count} controls, before ${missed}`);
}
return faults;
"""


class Walk:
    """A person or a guest who walks the pages in one language."""

    def __init__(self, desk: DeskPages, filled: FilledDesk, chromium: Browser, who: str, language: str) -> None:
        self.desk, self.filled, self.chromium, self.who, self.language = desk, filled, chromium, who, language
        self.client = browser(HTTP_ACCEPT_LANGUAGE=LOCALES[language])
        self.faults: list[str] = []
        self._expected: list[str] = ["GPU stall"]

    def sign_in(self, person: Person) -> None:
        person.language = self.language
        person.save()
        self.client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")

    def open_browser(self) -> None:
        """Opens the browser with the session that `client` has."""
        self.chromium.open(self.who, viewport=DESKTOP, locale=LOCALES[self.language])
        self.show_session()

    def show_session(self) -> None:
        """Gives the browser the session of `client`, if there is one."""
        if cookie := self.client.cookies.get(settings.SESSION_COOKIE_NAME):
            values = {"name": cookie.key, "value": cookie.value, "url": self.desk.address}
            self.chromium.run(
                "await pages[args.who].context().addCookies([{...args.values, secure: true, httpOnly: true}])",
                who=self.who,
                values=values,
            )

    def visit(self, name: str, address: str, status: int = 200, *, may_lead_on: bool = False) -> None:
        """Opens one address. A page is looked at; of a file, only the answer counts.

        `may_lead_on`: True for an act of a button, and for the way to a page that is walked by its name.
        """
        answer = self.client.get(address)
        if answer.status_code in (302, 405):
            if not may_lead_on:
                self.faults.append(f"{name} is no page: it answers {answer.status_code}")
            return
        if not answer.headers.get("Content-Type", "").startswith("text/html"):
            if answer.status_code != status:
                self.faults.append(f"{name} answers {answer.status_code}")
            answer.close()
            return
        found = self.chromium.run(
            "return (await pages[args.who].goto(args.to)).status()", who=self.who, to=self.desk.address + address
        )
        if found != status:
            self.faults.append(f"{name} answers {found}")
            return
        if status >= 400:
            self.trouble(str(status))
        self.look(name)

    def trouble(self, words: str) -> None:
        """Expects a complaint of the browser, which writes each refusal to its console."""
        self._expected.append(words)

    def look(self, name: str) -> None:
        """Axe, width, keyboard and picture of the present page."""
        shot = f"walk-{self.language}-{self.who}-{name.replace(':', '-')}"
        try:
            looking.look(self.chromium, self.who, shot, VIEWS, brief=self.language != "en")
        except AssertionError as error:
            self.faults.append(str(error))
        if found := self.chromium.run(KEYBOARD, page=self.who):
            self.faults.append(f"{name}, by keyboard: {found}")

    def act(self, script: str, **args: Any) -> Any:
        return self.chromium.run(f"const page = pages[args.who];{script}", who=self.who, at=self.desk.address, **args)

    def end(self) -> None:
        """Raises the faults of all pages at once, so that one run shows them."""
        troubles = [
            each for each in self.chromium.troubles(self.who) if not any(words in each for words in self._expected)
        ]
        if found := self.faults + troubles:
            pytest.fail("\n".join(found))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    require_browser()
    with Browser(tmp_path_factory.mktemp("home"), flags=DRAWS) as found:
        yield found


@pytest.fixture
def filled(agency: Agency, gops: list[Gop]) -> Iterator[FilledDesk]:
    public = Public(bulletins=True, tips=True, neighbours=True)
    with override_settings(DESK=msgspec.structs.replace(settings.DESK, public=public)):
        yield fill(agency, gops)


@pytest.fixture
def desk(data: Path, filled: FilledDesk) -> Iterator[DeskPages]:
    with desk_pages(data) as found:
        yield found


@pytest.mark.parametrize(("who", "language"), WALKS)
def test_every_page_is_whole_for_each_person_and_works_by_keyboard(
    desk: DeskPages, filled: FilledDesk, chromium: Browser, who: str, language: str
) -> None:
    walk = Walk(desk, filled, chromium, who, language)
    try:
        if who == "guest":
            as_guest(walk)
        elif who == "stranger":
            as_stranger(walk)
        else:
            as_role(walk, Role(who))
    except AssertionError as error:
        walk.faults.append(str(error))  # the pages that were looked at before count, too
    try:
        walk.end()
    finally:
        chromium.close_pages()


def as_role(walk: Walk, role: Role) -> None:
    walk.sign_in(walk.filled.agency.people[role])
    walk.open_browser()
    for route, address in walk.filled.addresses_of(role):
        if route.name not in FILES:
            walk.visit(route.name, address, may_lead_on=True)
    ACTS.get(role, lambda _walk: None)(walk)
    if role is Role.VIEWER and WHOLE:
        for name in SAME_FOR_ALL:
            walk.visit(name, ROUTES[name].address())
        walk.visit("not-allowed", "/custody", 403)
        walk.visit("not-found", "/nowhere", 404)


def as_guest(walk: Walk) -> None:
    """From the link in a mail to a playing clip, and to the page of a link that has ended."""
    walk.open_browser()
    walk.visit("export:guest-door", walk.filled.address(ROUTES["export:guest-door"]))
    walk.act("await page.locator('form button').click(); await page.waitForURL('**/guest');")
    walk.look("export:guest")
    walk.act(
        """
        await page.locator(".clips button").first().click();
        await page.waitForFunction(() => document.querySelector("video")?.readyState > 2);
        await page.evaluate(() => document.querySelector("video").pause());
        """
    )
    walk.look("export:guest-play")
    GuestLink.objects.update(revoked_at=timezone.now())
    walk.act("return (await page.goto(args.at + '/guest')).status()")
    walk.look("export:guest-closed")
    walk.trouble("404")


def as_stranger(walk: Walk) -> None:
    """The pages for people without an account, and the page to which all others send them."""
    walk.open_browser()
    for name in PUBLIC:
        walk.visit(name, walk.filled.address(ROUTES[name]))
    walk.visit("socialaccount_login_error", ROUTES["socialaccount_login_error"].address(), 401)
    invited = {"organisation": walk.filled.agency.organisation, "email": "lee@example.org", "roles": ["viewer"]}
    walk.visit("people:one-time-link", f"/link/{one_time_links.make_link('invitation', **invited)}")
    walk.visit("people:link-used", "/link/" + "A" * 43, 404)
    walk.act("await page.goto(args.at + '/cases/'); await page.waitForURL('**/accounts/login/**');")
    walk.act("await page.locator('details summary').click();")
    walk.look("sign-in-password")
    sign_in_twice(walk)
    meet_errors(walk)


def sign_in_twice(walk: Walk) -> None:
    """The password of a person with a passkey leads to the second step."""
    person, client = walk.filled.agency.people[Role.VIEWER], browser()
    client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    assert add_passkey(client, SoftPasskey()).status_code == 302
    walk.act(
        """
        await page.locator("input[name=login]").fill(args.email);
        await page.locator("input[name=password]").fill(args.password);
        await page.locator("form:has(input[name=password]) button").click();
        await page.waitForURL("**/accounts/second-factor/**");
        """,
        email=person.email,
        password=PASSWORD,
    )
    walk.look("mfa_authenticate")


def meet_errors(walk: Walk) -> None:
    """A form from another session, an error of our own, and one that the desk explains."""
    walk.trouble("403")
    walk.trouble("500")
    walk.act(
        """
        await page.context().clearCookies(); // the second step has not been taken
        await page.goto(args.at + "/accounts/login/");
        await page.context().clearCookies();
        await page.locator("details summary").click();
        await page.locator("input[name=login]").fill("noor@rijnstad.example");
        await page.locator("input[name=password]").fill("correct horse battery");
        await page.locator("form:has(input[name=password]) button").click();
        await page.locator("h1").filter({hasNotText: "Doorward"}).waitFor();
        """
    )
    assert walk.act("return page.locator('form').count()") == 0, "this is the page of a refused form"
    walk.look("refused-form")
    with patch("desk.numbers.views.rows", side_effect=ZeroDivisionError):
        status = walk.act("return (await page.goto(args.at + '/numbers')).status()")
    assert status == 500
    walk.look("error-of-our-own")


def open_a_tip(walk: Walk) -> None:
    walk.act(
        """
        await page.goto(args.at + "/tips/");
        await page.locator("main form[action*='/tips/'] button").first().click();
        await page.waitForURL(/tips.\\d+/);
        """
    )
    walk.look("tips:tip")


def share_and_export(walk: Walk) -> None:
    walk.act(
        """
        await page.goto(args.at + `/cases/${args.case}/share`);
        await page.locator("input[name=recipient]").fill("A. de Boer");
        await page.locator("input[name=clips]").first().check();
        await page.locator("form:has(input[name=clips]) button.primary").click();
        await page.locator("p.mono").first().waitFor();
        """,
        case=walk.filled.case.pk,
    )
    walk.look("export:share-made")
    open_a_tip(walk)


def compare(walk: Walk) -> None:
    walk.act(
        """
        await page.goto(args.at + "/custody");
        const file = {name: "kept.txt", mimeType: "text/plain", buffer: Buffer.from("no checkpoint")};
        await page.locator("input[type=file]").setInputFiles(file);
        await page.locator("form:has(input[type=file]) button").click();
        await page.waitForURL("**/custody/compare");
        """
    )
    walk.look("custody:compare")


def make_a_token_and_a_hook(walk: Walk) -> None:
    walk.act(
        """
        await page.goto(args.at + "/integrations");
        await page.locator("form:has(input[name=roles]) input[name=name]").fill("Case system");
        await page.locator("input[name=roles]").first().check();
        await page.locator("form:has(input[name=roles]) button.primary").click();
        await page.locator(".note .mono").waitFor();
        """
    )
    walk.look("integrations:token-made")
    walk.act(
        """
        await page.locator("form[action$='/hooks'] input[name=hook-name]").fill("Case system");
        await page.locator("form[action$='/hooks'] input[name=hook-address]").fill("http://cms.example/hook");
        await page.locator("form[action$='/hooks'] button").click();
        await page.locator("form[action$='/hooks'] .errorlist").waitFor();
        """
    )
    walk.look("integrations:hook-refused")


def administer(walk: Walk) -> None:
    make_a_token_and_a_hook(walk)
    have_a_passkey(walk)
    guess_the_password(walk)
    meet_an_explained_error(walk)


def have_a_passkey(walk: Walk) -> None:
    person = walk.filled.agency.people[Role.ADMIN]
    walk.client.logout()  # that session never saw a password
    walk.client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    assert add_passkey(walk.client, SoftPasskey()).status_code == 302
    walk.show_session()
    made = Authenticator.objects.get(user=person)
    for name in WITH_A_PASSKEY:
        pk = {"pk": made.pk} if "<" in ROUTES[name].pattern else {}
        walk.visit(name, ROUTES[name].address(**pk))


def guess_the_password(walk: Walk) -> None:
    """Someone at a screen that was left open tries to set another password."""
    walk.trouble("429")
    guess = """
        await page.goto(args.at + "/accounts/password/");
        await page.locator("input[name=oldpassword]").fill("a wrong guess");
        for (const name of ["password1", "password2"])
          await page.locator(`input[name=${name}]`).fill("correct horse battery staple");
        const answered = page.waitForResponse((each) => each.request().method() === "POST");
        await page.locator("main form:has(input[name=oldpassword]) button").click();
        const status = (await answered).status();
        await page.waitForLoadState("load");
        return status;
    """
    for _ in range(12):
        if walk.act(guess) == 429:
            walk.look("too-many-attempts")
            return
    walk.faults.append("a password may be guessed without a limit")


def meet_an_explained_error(walk: Walk) -> None:
    walk.trouble("503")
    fault = ConfigurationError("The token did not sign.", remedy="Check that the token is there, and try again.")
    with patch("desk.numbers.views.rows", side_effect=fault):
        status = walk.act("return (await page.goto(args.at + '/numbers')).status()")
    assert status == 503
    walk.look("explained-error")


ACTS: dict[Role, Callable[[Walk], None]] = {
    Role.ADMIN: administer,
    Role.ASKER: open_a_tip,
    Role.EVIDENCE_OFFICER: share_and_export,
    Role.AUDITOR: compare,
}
"""Pages that only a button leads to."""


def test_each_address_without_a_role_is_walked_or_is_no_page() -> None:
    """A new page for everybody has to be walked, too."""
    without = {route.name for route in routes() if not route.action}
    assert without == {*SAME_FOR_ALL, *WITH_A_PASSKEY, *PUBLIC, *NO_PAGE}

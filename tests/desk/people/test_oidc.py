"""Signing in by an identity provider of the organisation, against a real provider on loopback."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.conf import settings
from django.test import Client, override_settings

from desk.people.models import Person
from desk.people.roles import Role
from tests.desk.agencies import Agency, browser
from tests.desk.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, running


@pytest.fixture
def provider(agency: Agency) -> Iterator[Provider]:
    claims = {
        "sub": "person-7",
        "email": agency.people[Role.ASKER].email,
        "email_verified": True,
        "name": "Asker",
    }
    with running(claims) as made:
        app = {
            "provider_id": "agency",
            "name": "Agency account",
            "client_id": CLIENT_ID,
            "secret": CLIENT_SECRET,
            "settings": {"server_url": made.issuer},
        }
        providers = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
        with override_settings(SOCIALACCOUNT_PROVIDERS=providers):
            yield made


def callback_address(client: Client) -> str:
    """The address with the code to which the provider sends the browser back."""
    sent = client.post("/accounts/oidc/agency/login/")
    assert sent.status_code == 302
    parts = urlsplit(sent["Location"])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    back = urlsplit(answer.headers["Location"])
    assert back.scheme == "https"
    return f"{back.path}?{back.query}"


def sign_in(client: Client) -> Any:
    return client.get(callback_address(client))


def is_signed_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def test_a_person_of_the_desk_signs_in_by_the_provider(agency: Agency, provider: Provider) -> None:
    client = browser()
    assert "Sign in with Agency account" in client.get("/accounts/login/").content.decode()
    sign_in(client)
    assert client.get("/").context["user"] == agency.people[Role.ASKER]
    again = browser()
    sign_in(again)
    assert is_signed_in(again)


@pytest.mark.parametrize(
    "claims",
    [{"email": "stranger@example.org", "sub": "x"}, {"email_verified": False}, {"email_verified": "false"}],
)
def test_a_stranger_or_an_address_without_proof_is_not_let_in(
    agency: Agency, provider: Provider, claims: dict[str, Any]
) -> None:
    count = Person.objects.count()
    provider.claims |= claims
    client = browser()
    answer = sign_in(client)
    assert answer.status_code in (200, 302)
    assert not is_signed_in(client)
    assert Person.objects.count() == count


@pytest.mark.parametrize(
    ("domains", "let_in"),
    [(["waterland.example"], False), (["rijnstad-police.example.org"], False), (["Rijnstad-Police.example"], True)],
)
def test_a_provider_vouches_for_addresses_of_its_own_domains_only(
    agency: Agency, provider: Provider, domains: list[str], let_in: bool
) -> None:
    """The provider of one organisation must not sign in the people of another one."""
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["email_domains"] = domains
    client = browser()
    sign_in(client)
    assert is_signed_in(client) == let_in


def test_a_recovered_person_loses_the_account_of_a_provider(agency: Agency, provider: Provider) -> None:
    sign_in(browser())
    person = agency.people[Role.ASKER]
    provider.claims["email"] = "thief@example.org"  # the same account there, whose holder is another person by now
    client = browser()
    sign_in(client)
    assert is_signed_in(client)
    page = agency.client(Role.ADMIN).post(f"/people/{person.pk}/recover")
    address = page.context["link"].removeprefix("https://localhost")
    browser().post(address, {"way": "password", "password": "a new long secret"})
    again = browser()
    sign_in(again)
    assert not is_signed_in(again)


def test_a_token_for_another_client_is_refused(agency: Agency, provider: Provider) -> None:
    provider.client = "another client"
    client = browser()
    sign_in(client)
    assert not is_signed_in(client)


def test_a_code_that_another_browser_fetched_is_refused(agency: Agency, provider: Provider) -> None:
    thief, victim = browser(), browser()
    address = callback_address(thief)
    victim.get(address)
    assert not is_signed_in(victim)


def test_an_answer_with_another_state_is_refused(agency: Agency, provider: Provider) -> None:
    client = browser()
    parts = urlsplit(callback_address(client))
    words = {name: values[0] for name, values in parse_qs(parts.query).items()}
    client.get(f"{parts.path}?{urlencode(words | {'state': 'another'})}")
    assert not is_signed_in(client)


def test_an_unknown_provider_is_absent(agency: Agency, provider: Provider) -> None:
    assert browser().post("/accounts/oidc/elsewhere/login/").status_code == 404


def test_the_provider_is_not_asked_by_a_link(agency: Agency, provider: Provider) -> None:
    """A GET shows a button: a page elsewhere cannot start a sign-in."""
    assert browser().get("/accounts/oidc/agency/login/").status_code == 200

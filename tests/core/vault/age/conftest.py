"""Keys for the age tests: fixed seeds, because no test depends on particular keys."""

from __future__ import annotations

import pytest

from agent.clients.opening import HybridIdentity, X25519Identity


@pytest.fixture(scope="session")
def owner() -> HybridIdentity:
    return HybridIdentity(b"owner".ljust(32, b"."))


@pytest.fixture(scope="session")
def recovery() -> HybridIdentity:
    return HybridIdentity(b"recovery".ljust(32, b"."))


@pytest.fixture(scope="session")
def stranger() -> HybridIdentity:
    return HybridIdentity(b"stranger".ljust(32, b"."))


@pytest.fixture(scope="session")
def classic() -> X25519Identity:
    return X25519Identity(b"classic".ljust(32, b"."))

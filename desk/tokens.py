"""Signing keys in a PKCS#11 token: the key is made there and never leaves it.

    signer = token_signer(settings.DESK.token, "rijnstad-police")     # the key with that label, made at the first call
    signer.sign(data)

A token keeps a sign-in for the whole process, so one session serves all keys, under one lock.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from agent.errors import ConfigurationError, DeviceError
from agent.platform import files
from agent.wire.identities import PublicKey
from desk.config import Token

__all__ = ["TokenSigner", "token_signer"]

_ED25519: Final = bytes([0x13, 0x0C]) + b"edwards25519"
"""PrintableString in DER, as PKCS#11 3.0 names the curve."""
_KEY_BYTES: Final = 32
_PIN_LIMIT_BYTES: Final = 256


class _OpenToken:
    """The session with a token."""

    def __init__(self, token: Token) -> None:
        self._token = token
        self._session: Any = None
        self.lock = threading.Lock()

    def session(self) -> Any:
        """Returns the session, opened at the first call and after a fault. Raises `ConfigurationError`."""
        if self._session is None:
            pin = files.read_private(self._token.pin_file, _PIN_LIMIT_BYTES).decode("utf-8", "replace").strip()
            try:
                found = pkcs11.lib(str(self._token.module)).get_token(token_label=self._token.label)
                self._session = found.open(rw=True, user_pin=pin)
            except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
                raise ConfigurationError(
                    f"The token {self._token.label!r} cannot be opened: {_words(error)}.",
                    remedy="Check module, label and pin_file under [token] in desk.toml, and that the token is there.",
                ) from error
        return self._session

    def forget(self) -> None:
        """Makes the next call open the token again."""
        self._session = None


class TokenSigner:
    """A `Signer` with the Ed25519 key of one label."""

    def __init__(self, token: _OpenToken, label: str, public_key: PublicKey) -> None:
        self._token = token
        self._label = label
        self._public_key = public_key

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, data: bytes) -> bytes:
        """Returns the signature. Raises `DeviceError` if the token is gone; the next call opens it again."""
        with self._token.lock:
            try:
                key = _find(self._token.session(), self._label, ObjectClass.PRIVATE_KEY)
                signature: bytes = key.sign(data, mechanism=Mechanism.EDDSA)
            except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
                self._token.forget()
                raise DeviceError(
                    f"The token did not sign with the key {self._label!r}: {_words(error)}.",
                    remedy="Check that the token is there, and try again.",
                ) from error
        return signature


_tokens: dict[Path, _OpenToken] = {}
_tokens_lock = threading.Lock()


def token_signer(token: Token, label: str) -> TokenSigner:
    """Returns the signer of that label, and makes its key at the first call. Raises `ConfigurationError`."""
    with _tokens_lock:
        opened = _tokens.setdefault(token.module / token.label, _OpenToken(token))
    with opened.lock:
        session = opened.session()
        try:
            public = _find(session, label, ObjectClass.PUBLIC_KEY)
        except pkcs11.exceptions.NoSuchKey:
            public = _make(session, label)
        point = bytes(public[Attribute.EC_POINT])[-_KEY_BYTES:]
    return TokenSigner(opened, label, PublicKey(point))


def _find(session: Any, label: str, kind: ObjectClass) -> Any:
    return session.get_key(object_class=kind, key_type=KeyType.EC_EDWARDS, label=label)


def _make(session: Any, label: str) -> Any:
    curve = session.create_domain_parameters(KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: _ED25519}, local=True)
    secret = {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True}
    public, _ = curve.generate_keypair(
        mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=label, private_template=secret
    )
    return public


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__

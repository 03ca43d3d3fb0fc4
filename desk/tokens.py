"""Signing keys in a PKCS#11 token: the key is made there and never leaves it.

    signer = token_signer(settings.DESK.token, "rijnstad-police")     # the key with that label, made at the first call
    signer.sign(data)
    destroy_token_key(settings.DESK.token, "police.root", public_key)   # no one can sign with it any more

A token keeps a sign-in for the whole process, so one session serves all keys, under one lock.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any, Final

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from agent.errors import ConfigurationError, DeviceError
from agent.platform import files
from agent.wire.identities import PublicKey
from desk.config import Token

__all__ = ["TokenSigner", "destroy_token_key", "token_signer"]

_ED25519: Final = bytes([0x13, 0x0C]) + b"edwards25519"
"""PrintableString in DER, as PKCS#11 3.0 names the curve."""
_KEY_BYTES: Final = 32
_PIN_LIMIT_BYTES: Final = 256
_PROBE: Final = b"doorward: whether the token holds this key"
"""Signed to compare a private key with a public one. No message of Doorward is signed without its type before it."""


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
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(pkcs11.exceptions.PKCS11Error, RuntimeError):
                session.close()  # an open session stays signed in, and the next sign-in would be refused


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
    opened = _opened(token)
    with opened.lock:
        session = opened.session()
        try:
            public = _find(session, label, ObjectClass.PUBLIC_KEY)
        except pkcs11.exceptions.NoSuchKey:
            public = _make(session, label)
        # The attribute is DER, and some tokens give the bare point. Both end with its 32 bytes.
        point = bytes(public[Attribute.EC_POINT])[-_KEY_BYTES:]
    return TokenSigner(opened, label, PublicKey(point))


def destroy_token_key(token: Token, label: str, public_key: PublicKey) -> None:
    """Destroys the key of that label, private part first. Does nothing if the token has none of that label.

    Raises `ConfigurationError` if that is another key, or if the token cannot be opened or keeps it.
    """
    opened = _opened(token)
    with opened.lock:
        session = opened.session()
        try:
            private = _find_any(session, label, ObjectClass.PRIVATE_KEY)
            if private is not None:
                # The label may be that of a key made later, which must stay.
                if not public_key.verifies(private.sign(_PROBE, mechanism=Mechanism.EDDSA), _PROBE):
                    raise ConfigurationError(
                        "This token holds another key.", remedy="Connect the token that made the root's key."
                    )
                private.destroy()
            public = _find_any(session, label, ObjectClass.PUBLIC_KEY)
            if public is not None:
                public.destroy()
        except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
            opened.forget()
            raise ConfigurationError(
                f"The token did not delete the key {label!r}: {_words(error)}.",
                remedy="Delete it with the tool of the token, and sign again.",
            ) from error


def _opened(token: Token) -> _OpenToken:
    with _tokens_lock:
        return _tokens.setdefault(token.module / token.label, _OpenToken(token))


def _find_any(session: Any, label: str, kind: ObjectClass) -> Any:
    try:
        return _find(session, label, kind)
    except pkcs11.exceptions.NoSuchKey:
        return None


def _find(session: Any, label: str, kind: ObjectClass) -> Any:
    return session.get_key(object_class=kind, key_type=KeyType.EC_EDWARDS, label=label)


def _make(session: Any, label: str) -> Any:
    curve = session.create_domain_parameters(KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: _ED25519}, local=True)
    # The token refuses to export such a key, also wrapped in another one.
    secret = {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True}
    public, _ = curve.generate_keypair(
        mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=label, private_template=secret
    )
    return public


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__

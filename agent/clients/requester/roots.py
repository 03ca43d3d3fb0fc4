"""Root bundles of this requester, so that a request that all doors would refuse is refused before signing.

    roots/<root>/root.pub       the root's public key        roots/<root>/bundle.dsse    its newest bundle

A device makes the same checks. These ones help the requester. If the bundle is missing they are skipped, and `request`
says so. Source: PROTOCOL.md, section 7.
"""

from __future__ import annotations

import re
from typing import Final

from agent.clients.requester.identity import Requester
from agent.clients.requester.trust_bundles import read_bundle
from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError, RequestError
from agent.wire.area import Area, Circle, Point, Polygon
from agent.wire.fields import Kind
from agent.wire.identities import PublicKey, parse_public_key
from agent.wire.limits import HARD, RequestLimits
from agent.wire.trust import BUNDLE_ENVELOPE_LIMIT_BYTES, TrustedRequester, TrustStore

__all__ = ["KnownRoots", "swapped"]

_FOLDER: Final = "roots"
_KEY_LIMIT_BYTES: Final = 256
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")


class KnownRoots:
    """The roots with a bundle in the folder of `requester`."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._notes = requester.notes

    def accept(self, root: str, bundle: bytes, now_s: int) -> TrustedRequester:
        """Stores the bundle of the root with that public key, and returns its entry for this requester.

        Raises `ConfigurationError` if it is not a bundle of this root, is older than the stored one, or does not list
        the key of this folder.
        """
        try:
            key = parse_public_key(root)
            store, _ = self._store(key).accept(bundle)
        except (OpenError, FormatError, RequestError) as error:
            raise ConfigurationError(
                f"This is not a bundle of that root, or it is older than the stored one: {error.message}",
                remedy="Ask the root for its public key and its newest bundle.dsse.",
            ) from error
        found = self._listed(store, key.id, now_s)
        folder = f"{_FOLDER}/{key.id}"
        self._notes.make_folder(folder)
        self._notes.write(f"{folder}/root.pub", f"{key.text}\n".encode("ascii"))
        self._notes.write(f"{folder}/bundle.dsse", bundle)
        return found

    def ids(self) -> list[str]:
        """Returns the key ids of the roots with a stored bundle."""
        return [name for name in self._notes.names(_FOLDER) if _KEY_ID.fullmatch(name)]

    def limits_for(self, trust_root: str, kind: Kind, area: Area, now_s: int) -> RequestLimits:
        """Returns the root's limits for this requester, or the hard limits if its bundle is missing.

        Raises `RequestError` if all doors would refuse a request under that root or about that area.
        """
        known = self.ids()
        if trust_root not in known:
            if known:
                raise RequestError(
                    f"This folder has no bundle of the root {trust_root}, only of {', '.join(known)}.",
                    remedy="Check --trust-root.  If it is right, import its bundle: doorward requester root KEY BUNDLE",
                )
            return HARD
        try:
            listed = self._listed(self._store(self._key(trust_root)), trust_root, now_s)
        except (FormatError, OpenError) as error:
            raise ConfigurationError(
                f"{self._notes.place(f'{_FOLDER}/{trust_root}')}: {error.message}",
                remedy="Import the bundle again: doorward requester root KEY BUNDLE",
            ) from error
        if kind is not listed.kind:
            raise RequestError(
                f"The root lists this requester as {listed.kind.value}, not {kind.value}.",
                remedy="Make a folder of the right kind, or ask the root to change its list.",
            )
        if not listed.may_ask_about(area):
            raise _elsewhere(listed, area)
        return listed.limits.applied_to(HARD)

    def entry(self, root: str, now_s: int) -> TrustedRequester | None:
        """Returns this requester in the stored bundle of `root`, or None if it lists no key of this folder as valid.

        Raises `DoorwardError` if the stored bundle cannot be read.
        """
        return self._store(self._key(root)).resolve(root, self._requester.id, self._requester.key.id, now_s)

    def listed_until_s(self, root: str) -> int:
        """Returns the last second in which the stored bundle of `root` lists a key of this requester. 0 without one.

        Raises `DoorwardError` if the bundle cannot be read.
        """
        data = self._notes.read(f"{_FOLDER}/{root}/bundle.dsse", BUNDLE_ENVELOPE_LIMIT_BYTES)
        if data is None:
            return 0
        ours = (entry for entry in read_bundle(data, self._key(root)).requesters if entry.id == self._requester.id)
        return max((each.until_s for entry in ours for each in entry.keys if not each.revoked), default=0)

    def _key(self, root: str) -> PublicKey:
        """Raises `FormatError` if the file is missing or damaged."""
        data = self._notes.read(f"{_FOLDER}/{root}/root.pub", _KEY_LIMIT_BYTES)
        if data is None:
            raise FormatError("root.pub is missing.")
        return parse_public_key(data.decode("ascii", "replace").strip())

    def _store(self, key: PublicKey) -> TrustStore:
        store = TrustStore().with_root(key)
        data = self._notes.read(f"{_FOLDER}/{key.id}/bundle.dsse", BUNDLE_ENVELOPE_LIMIT_BYTES)
        return store if data is None else store.accept(data)[0]

    def _listed(self, store: TrustStore, root: str, now_s: int) -> TrustedRequester:
        found = store.resolve(root, self._requester.id, self._requester.key.id, now_s)
        if found is None:
            raise ConfigurationError(
                f"The bundle of root {root} does not list the key of '{self._requester.id}' as valid now.",
                remedy="Ask the root to list it, or import its newer bundle: doorward requester root KEY BUNDLE",
            )
        return found


def _elsewhere(listed: TrustedRequester, area: Area) -> RequestError:
    turned = swapped(area)
    if turned is not None and listed.may_ask_about(turned):
        return RequestError(
            "The area lies outside your regions, but inside if latitude and longitude are exchanged.",
            remedy="Write latitude first: 52.3702,4.8952,300.  (GeoJSON has longitude first.)",
        )
    regions = "".join(
        f"\n    {each.south:g} to {each.north:g} north, {each.west:g} to {each.east:g} east" for each in listed.regions
    )
    return RequestError(
        "Each door would refuse this request: the area lies outside your regions.",
        remedy=f"Ask within one of these regions:{regions}",
    )


def swapped(area: Area) -> Area | None:
    """Returns the area with latitude and longitude exchanged, or None if the result is not a valid area."""
    try:
        if isinstance(area, Circle):
            return Circle(lat=area.lon, lon=area.lat, radius_m=area.radius_m)
        return Polygon(vertices=tuple(Point(lat=each.lon, lon=each.lat) for each in area.vertices))
    except DoorwardError:
        return None

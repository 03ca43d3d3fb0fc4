"""Root bundles of this requester, so that a request that all doors would refuse is refused before signing.

    roots/<root>/root.pub       the root's public key        roots/<root>/bundle.dsse    its newest bundle
    roots/<root>/brokers-<SHA-256>.json   the broker directory that the bundle names, if there is one
    roots/own    the id of the root by which the requester connects, if it has chosen one

A bundle names its directory by the hash. The directory is written before the bundle that names it, and the directory of
the bundle before stays. So a stored bundle has its directory after a crash between two writes, and for another worker
that reads between them.

A device makes the same checks. These ones help the requester. If the bundle is missing they are skipped, and `request`
says so. Source: PROTOCOL.md, section 7.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from typing import Final

from agent.clients.requester.identity import Requester
from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError, RequestError
from agent.wire.area import Area, Circle, Point, Polygon
from agent.wire.broker_directory import (
    DIRECTORY_LIMIT_BYTES,
    BrokerAddress,
    BrokerDirectory,
    directory_sha256,
    open_directory,
)
from agent.wire.fields import Kind
from agent.wire.limits import HARD, RequestLimits
from agent.wire.topics import cells_of
from agent.wire.trust import TrustedRequester, TrustStore, with_sections
from agent.wire.trust_keys import TrustKey, parse_trust_key
from agent.wire.trust_package import PACKAGE_LIMIT_BYTES, is_package

__all__ = ["KnownRoots", "swapped"]

_FOLDER: Final = "roots"
_DIRECTORY: Final = re.compile(r"brokers-[0-9a-f]{64}\.json")
_OWN: Final = "roots/own"
_LOCK: Final = "roots/lock"
"""Lock of changes: the workers of a requester may hear the same news at once."""
_MOST_VERIFIED: Final = 4
"""Most verified bundles in memory, at most 2 MiB of bytes and their requesters each. A worker has one or two roots."""
_KEY_LIMIT_BYTES: Final = 256
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")


class KnownRoots:
    """The roots with a bundle in the folder of `requester`."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._notes = requester.notes

    def accept(self, root: str, bundle: bytes, now_s: int, directory: bytes | None = None) -> TrustedRequester:
        """Stores the bundle of the root with that public key, and returns its entry for this requester.

        `directory`: the broker directory that comes with it. Raises `ConfigurationError` if it is not a bundle of this
        root, is older than the stored one, does not list the key of this folder, or names another directory. So it does
        if a root with this id and another second key is stored: one of both is false.
        """
        try:
            key = parse_trust_key(root)
        except FormatError as error:
            raise _refused_file(error) from error
        self._require_no_other(key)
        folder = f"{_FOLDER}/{key.id}"
        entries: list[TrustedRequester] = []

        def verified() -> TrustStore:
            """A worker may have stored a newer one meanwhile."""
            try:
                store, _ = self._store(key).accept(bundle)
            except (OpenError, FormatError, RequestError) as error:
                raise _refused_file(error) from error
            entries.append(self._listed(store, key.id, now_s))
            if directory is not None:
                self._require_named(store, key.id, directory)
            return store

        verified()
        # A file has the sections of a whole country. Each look at the list would read all of them.
        regions = entries[-1].regions
        bundle = with_sections(bundle, lambda cells: any(cells.touches(region) for region in regions))
        self._notes.make_folder(folder)
        # The key before the bundle, which cannot be verified without it.
        self._notes.write(f"{folder}/root.pub", f"{key.text}\n".encode("ascii"))
        self._store_both(key, bundle, directory, verified)
        return entries[-1]

    def choose(self, root: str) -> None:
        """Makes `root` the one by which the requester connects. Its bundle was accepted before."""
        self._notes.make_folder(_FOLDER)
        self._notes.write(_OWN, root.encode("ascii"))

    def own_root(self) -> str | None:
        """Returns the chosen root, or else that of the profile, or else the only one. None if it has no bundle here."""
        known, chosen = self.ids(), self._notes.read(_OWN, _KEY_LIMIT_BYTES)
        for root in (chosen.decode("ascii", "replace") if chosen else None, self._requester.profile.trust_root):
            if root in known:
                return root
        return known[0] if len(known) == 1 else None

    def mark(self) -> str:
        """Returns words that are others once the root of `own_root`, its bundle or its directories are others."""
        root = self.own_root()
        # A directory may come later than its bundle, as a second file.
        directories = [name for name in self._notes.names(f"{_FOLDER}/{root}") if _DIRECTORY.fullmatch(name)]
        bundle = self._notes.read(f"{_FOLDER}/{root}/bundle.dsse", PACKAGE_LIMIT_BYTES) if root is not None else None
        return " ".join((str(root), hashlib.sha256(bundle or b"").hexdigest(), *directories))

    def named_directory(self, root: str, package: bytes, now_s: int) -> str | None:
        """Returns the hash of the broker directory that has to come with a package of `root`. None if none has to.

        Raises as `hear` does.
        """
        named = self._newer(root, package, now_s).bundles[root].directory_sha256
        return named if named is not None and self._directory(root, named) is None else None

    def hear(self, root: str, package: bytes, now_s: int, directory: bytes | None = None) -> bool:
        """Stores a package of `root` that came over the broker, with the directory that it names.

        Returns True if its list is newer than the stored one. Raises `ConfigurationError` if the package is not by the
        root's keys, has ended, is older than what was seen, or does not list the key of this folder: then the stored
        one stays.
        """

        def verified() -> TrustStore:
            """A worker may have stored a newer one meanwhile."""
            store = self._newer(root, package, now_s)
            self._listed(store, root, now_s)
            named = store.bundles[root].directory_sha256
            if directory is not None:
                self._require_named(store, root, directory)
            elif named is not None and self._directory(root, named) is None:
                raise ConfigurationError(
                    "The broker directory of this list has not come.", remedy="Wait, or import both as files."
                )
            return store

        store, stored = verified(), self._store(self._key(root))
        before = stored.bundles.get(root)
        # Each broker has other sections of one list. Their packages must not replace each other all day.
        is_stored = before is not None and store.seen(root) == stored.seen(root)
        if is_stored and (directory is None or self._directory(root, directory_sha256(directory)) is not None):
            return False
        self._store_both(self._key(root), package, directory, verified)
        return before is None or store.bundles[root].version != before.version

    def _store_both(
        self, key: TrustKey, bundle: bytes, directory: bytes | None, verified: Callable[[], TrustStore]
    ) -> None:
        """Stores a bundle and the directory that it names, while no other worker does.

        Removes directories that neither it nor the bundle before names. Raises as `verified` does.
        """
        folder = f"{_FOLDER}/{key.id}"

        def replaced(_before: bytes | None) -> bytes:
            # Verified again under the lock: another worker may have stored a newer list since the first look.
            bundles = (self._store(key).bundles.get(key.id), verified().bundles[key.id])
            if directory is not None:
                # Before the bundle that names it, which is written at the end.
                self._notes.write(f"{folder}/{_directory_name(directory_sha256(directory))}", directory)
            # A reader of the bundle before still needs its directory.
            used = {_directory_name(each.directory_sha256) for each in bundles if each and each.directory_sha256}
            for name in self._notes.names(folder):
                if _DIRECTORY.fullmatch(name) and name not in used:
                    self._notes.remove(f"{folder}/{name}")
            return bundle

        self._notes.change(f"{folder}/bundle.dsse", replaced, lock=_LOCK, limit_bytes=PACKAGE_LIMIT_BYTES)

    def ends_s(self, root: str) -> int:
        """Returns the end of the newest package of `root`, UTC s. 0 if it came as a bundle alone, which lacks an end.

        After it a broker may be holding back newer lists. Raises `DoorwardError` if the stored bundle cannot be read.
        """
        newest = self._store(self._key(root)).seen(root) if root in self.ids() else None
        return newest.ends_s if newest is not None else 0

    def _newer(self, root: str, package: bytes, now_s: int) -> TrustStore:
        """Returns the store with a package that came over the broker. Raises `ConfigurationError`."""
        if not is_package(package):
            raise ConfigurationError("The root's news is no package.", remedy="Ask the root to publish it again.")
        try:
            return self._store(self._key(root)).accept(package, now_s)[0]
        except (OpenError, FormatError, RequestError) as error:
            raise ConfigurationError(
                f"The root's news was refused: {error.message}",
                remedy=_remedy(error, "Ask the root for its newest package."),
            ) from error

    def _directory(self, root: str, sha256: str) -> bytes | None:
        """Returns the stored directory with this hash. None if it is missing or damaged."""
        data = self._notes.read(f"{_FOLDER}/{root}/{_directory_name(sha256)}", DIRECTORY_LIMIT_BYTES)
        return data if data is not None and directory_sha256(data) == sha256 else None

    def _require_named(self, store: TrustStore, root: str, directory: bytes) -> None:
        self._opened(directory, root, store.bundles[root].directory_sha256)

    def _opened(self, directory: bytes, root: str, named: str | None) -> BrokerDirectory:
        try:
            return open_directory(directory, root, named)
        except (FormatError, RequestError) as error:
            raise ConfigurationError(f"The broker directory: {error.message}", remedy=error.remedy) from error

    def _require_a_broker(self, root: str, area: Area, now_s: int) -> None:
        """Raises `RequestError` if the directory of the root has no broker for a cell of the area."""
        listed = self.brokers(root, now_s)
        silent = [] if listed is None else [cell for cell in cells_of(area) if not listed[0].brokers_of(cell)]
        if silent:
            raise RequestError(
                f"No door would hear this request: the root lists no broker for the cell {silent[0]}.",
                remedy="Ask the root for its newest bundle and list of brokers, or choose another area.",
            )

    def own_brokers(self, now_s: int) -> tuple[BrokerDirectory, tuple[BrokerAddress, ...]] | None:
        """Returns what `brokers` does for `own_root`. None without one."""
        root = self.own_root()
        return self.brokers(root, now_s) if root is not None else None

    def brokers(self, root: str, now_s: int) -> tuple[BrokerDirectory, tuple[BrokerAddress, ...]] | None:
        """Returns the directory of `root` and its brokers in the regions of this requester. None without a directory.

        Raises `ConfigurationError` if the directory that the stored bundle names is missing, or if it has no broker in
        these regions.
        """
        if root not in self.ids():
            return None
        store = self._store(self._key(root))
        named = store.bundles[root].directory_sha256 if root in store.bundles else None
        if named is None:
            return None
        data = self._directory(root, named)
        if data is None:
            raise ConfigurationError(
                f"The bundle of root {root} names a broker directory, and this folder has none.",
                remedy="Import both: doorward requester root KEY BUNDLE --brokers FILE",
            )
        directory = self._opened(data, root, named)
        brokers = directory.brokers_in(self._listed(store, root, now_s).regions)
        if not brokers:
            raise ConfigurationError(
                f"The broker directory of root {root} has no broker in your regions.",
                remedy="Ask the root to list one, or name a broker by its address.",
            )
        return directory, brokers

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
        self._require_a_broker(trust_root, area, now_s)
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
        bundle = self._store(self._key(root)).bundles.get(root) if root in self.ids() else None
        if bundle is None:
            return 0
        ours = (entry for entry in bundle.requesters if entry.id == self._requester.id)
        return max((each.until_s for entry in ours for each in entry.keys if not each.revoked), default=0)

    def _require_no_other(self, key: TrustKey) -> None:
        folder = f"{_FOLDER}/{key.id}"
        try:
            stored = self._key(key.id)
        except FormatError:
            return  # without a root, or with a damaged file, which this import replaces
        if stored != key:
            raise ConfigurationError(
                f"The root {key.id} is stored with another ML-DSA-44 key.",
                remedy="Compare the whole line with the holder of the root. If the stored one is false, delete "
                f"{self._notes.place(folder)} and import the bundle again.",
            )

    def _key(self, root: str) -> TrustKey:
        """Raises `FormatError` if the file is missing or damaged."""
        data = self._notes.read(f"{_FOLDER}/{root}/root.pub", _KEY_LIMIT_BYTES)
        if data is None:
            raise FormatError("root.pub is missing.")
        return parse_trust_key(data.decode("ascii", "replace").strip())

    def _store(self, key: TrustKey) -> TrustStore:
        data = self._notes.read(f"{_FOLDER}/{key.id}/bundle.dsse", PACKAGE_LIMIT_BYTES)
        return TrustStore().with_root(key) if data is None else _verified(key, data)

    def _listed(self, store: TrustStore, root: str, now_s: int) -> TrustedRequester:
        found = store.resolve(root, self._requester.id, self._requester.key.id, now_s)
        if found is None:
            raise ConfigurationError(
                f"The bundle of root {root} does not list the key of '{self._requester.id}' as valid now.",
                remedy="Ask the root to list it, or import its newer bundle: doorward requester root KEY BUNDLE",
            )
        return found


@functools.lru_cache(maxsize=_MOST_VERIFIED)
def _verified(key: TrustKey, data: bytes) -> TrustStore:
    """Returns the store of a root with the bundle or package `data`. Raises as `TrustStore.accept` does.

    A receiver looks at its brokers each five seconds, and a list of 3 000 requesters takes much longer to verify than
    a short one. The whole bytes are the key, so other bytes are always verified. Errors are not kept. The result does
    not depend on the time: callers check keys and ends at their own time.
    """
    return TrustStore().with_root(key).accept(data)[0]


def _directory_name(sha256: str) -> str:
    return f"brokers-{sha256}.json"


def _refused_file(error: DoorwardError) -> ConfigurationError:
    return ConfigurationError(
        f"This is not a bundle of that root, or the stored one does not let it follow: {error.message}",
        remedy=_remedy(error, "Ask the root for its public key and its newest bundle.dsse."),
    )


def _remedy(error: DoorwardError, otherwise: str) -> str:
    """The versions and root files of a package have remedies. A wrong key or a damaged file has none."""
    return error.remedy if isinstance(error, RequestError) else otherwise


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

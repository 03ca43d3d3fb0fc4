"""The folder of a trust root with several keys: its root files, its bundles, their signatures, and the newest package.

    root-1.json      payload of a root file         root-1.json.<key id>.sig      one signature of it
    bundle-3.json    payload of a bundle            bundle-3.json.<key id>.sig
    brokers-3.json   the broker directory that bundle 3 names, if the root has one
    sections-3.jsonl requesters by region, if the list is long: one line for each section that bundle 3 names
    package.json     root files, newest bundle with all sections, and a timestamp

A broker gets the package with the sections of its cells. `take_back` adds `package-before.json`, for its timestamp, and
`bundle-3.json.ours`. Another list of that number, replaced later, stays as `bundle-3.json.ours-2`.

Nothing in it is secret. Each signer gets a payload, signs it on a machine of theirs, and returns the signature. `stamp`
joins them once the threshold is there, with a timestamp by the one key that is online.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from agent.clients.requester.keys import FileSigner, Signer, sign_for_root, trust_key_of
from agent.clients.requester.trust_bundles import read_list
from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError, RequestError
from agent.platform import files
from agent.wire import envelope, strictjson
from agent.wire.broker_directory import DIRECTORY_LIMIT_BYTES, BrokerAddress, BrokerDirectory, open_directory
from agent.wire.identities import KEY_BYTES, private_key_from_seed
from agent.wire.trust import (
    BUNDLE_ENVELOPE_LIMIT_BYTES,
    BUNDLE_LIMIT_BYTES,
    SeenVersion,
    TrustBundle,
    TrustStore,
    with_sections,
)
from agent.wire.trust_keys import TrustKey, parse_trust_key
from agent.wire.trust_package import (
    MAX_ROOT_FILES,
    PACKAGE_LIMIT_BYTES,
    PUBLISHED_LIMIT_BYTES,
    ROOT_ENVELOPE_LIMIT_BYTES,
    RootFile,
    TrustPackage,
    TrustTimestamp,
)

__all__ = ["RootFolder", "TakenBack", "sections_file"]

_NAME_KEY: Final = "root.pub"
_PACKAGE: Final = "package.json"
_PACKAGE_BEFORE: Final = "package-before.json"
"""The package with a higher timestamp that a broker's newer list replaced."""
_PAYLOAD: Final = re.compile(r"(root|bundle)-([1-9][0-9]{0,15})\.json")
_SIGNATURE_BYTES: Final = 8192
"""Limit of a signature in base64, or of a public pair."""
_DAY_S: Final = 86_400
_TYPES: Final[dict[str, type[RootFile | TrustBundle]]] = {"root": RootFile, "bundle": TrustBundle}


def sections_file(version: int, sections: Sequence[bytes]) -> tuple[str, bytes]:
    """Returns name and content of the file with the sections that the bundle of that version names."""
    return f"sections-{version}.jsonl", b"".join(each + b"\n" for each in sections)


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The outcome of a fetch. `lacking`: sections of other cells, which other brokers have. `kept`: lists and sets of
    keys of this folder that were replaced now, each in a separate file."""

    lacking: int
    kept: tuple[Path, ...] = ()


class RootFolder:
    """A root's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name_key(self) -> TrustKey:
        """Returns the key by which owners choose the root. Raises `ConfigurationError` if there is no root here."""
        path = self.folder / _NAME_KEY
        if not files.is_file(path):
            raise ConfigurationError(
                f"There is no trust root in {self.folder}.", remedy="Found one: doorward requester trust-root found."
            )
        return parse_trust_key(files.read(path, _SIGNATURE_BYTES).decode("ascii", "replace").strip())

    def found(self, root_file: RootFile, name_key: Signer | None = None) -> Path:
        """Writes root file 1, signed by its name key. Returns the payload that the listed keys sign.

        Without `name_key` it makes the key, signs with it and forgets it. `root_file.root` is set here.
        """
        if files.is_there(self.folder / _NAME_KEY):
            raise ConfigurationError(f"{self.folder} has a trust root.", remedy="Choose another folder, or rotate.")
        signer = name_key or FileSigner(private_key_from_seed(secrets.token_bytes(KEY_BYTES)))
        name = trust_key_of(signer)
        files.make_folder(self.folder)
        path = self._write(replace(root_file, root=name.id, version=1))
        self.sign(path, signer)
        files.write(self.folder / _NAME_KEY, f"{name.text}\n".encode("ascii"))  # last: now it is a root
        return path

    def rotate(self, root_file: RootFile) -> Path:
        """Writes the next root file. Returns the payload that old and new keys sign.

        Raises `ConfigurationError` if the root has as many root files as a package holds.
        """
        newest = self._newest("root")
        if newest >= MAX_ROOT_FILES:
            raise ConfigurationError(
                f"A trust root has at most {MAX_ROOT_FILES} sets of keys.",
                remedy="Found a new root, and ask owners and requesters to choose it.",
            )
        return self._write(replace(root_file, root=self.name_key.id, version=newest + 1))

    def propose(self, source: Path, issued_s: int) -> Path:
        """Writes the bundle of the list `source`. Returns the payload to sign. Raises as `read_list` does."""
        listed = read_list(source)
        newest = self._newest("bundle")
        if listed.version <= newest:
            raise ConfigurationError(
                f"{source}: version: {listed.version} is not higher than {newest}, the newest in {self.folder}.",
                remedy=f"Set version = {newest + 1}.",
            )
        directory = listed.directory(self.name_key.id)
        if directory is not None:
            files.write(self.directory_path(listed.version), directory)
        bundle, sections = listed.in_sections(self.name_key.id, issued_s)
        # Before the payload: a signer who finds that also finds the sections that it names.
        self.write_sections(bundle.version, sections)
        return self._write(bundle)

    def directory_path(self, version: int) -> Path:
        """Returns the place of the broker directory of a bundle. The file is missing if the bundle names none."""
        return self.folder / f"brokers-{version}.json"

    def write_sections(self, version: int, sections: Sequence[bytes]) -> None:
        """Writes the sections that a bundle names. Without sections there is no file."""
        if sections:
            name, data = sections_file(version, sections)
            files.write(self.folder / name, data)

    def sections(self, bundle: TrustBundle) -> tuple[bytes, ...]:
        """Returns the sections that the bundle names. Raises `ConfigurationError` if its file has others."""
        if not bundle.sections:
            return ()
        path = self.folder / sections_file(bundle.version, ())[0]
        found = tuple(files.read(path, PACKAGE_LIMIT_BYTES).splitlines()) if files.is_file(path) else ()
        if [hashlib.sha256(each).hexdigest() for each in found] != [each.sha256 for each in bundle.sections]:
            raise ConfigurationError(
                f"{path} has not the sections that bundle {bundle.version} names.",
                remedy="Put it beside the bundle: 'doorward requester trust-root list' wrote both.",
            )
        return found

    def sign(self, payload: Path, signer: Signer) -> Path:
        """Writes the signature of one key beside the payload.

        Raises `ConfigurationError` if it is none of a root, or if the sections that it names are not beside it: their
        hashes alone say nothing to who signs.
        """
        form = _PAYLOAD.fullmatch(payload.name)
        if form is None:
            raise ConfigurationError(
                f"{payload.name} is no root file and no bundle.", remedy="Name root-N.json or bundle-N.json."
            )
        kind: type[RootFile | TrustBundle] = _TYPES[form[1]]
        message = strictjson.decode(files.read(payload, BUNDLE_LIMIT_BYTES), kind, limit_bytes=BUNDLE_LIMIT_BYTES)
        if isinstance(message, TrustBundle):
            self.sections(message)
        made = envelope.read_several(
            sign_for_root(signer, kind.PAYLOAD_TYPE, message), kind.PAYLOAD_TYPE, limit_bytes=PACKAGE_LIMIT_BYTES
        )
        [(key_id, signature)] = made.signatures.items()
        path = payload.with_name(f"{payload.name}.{key_id}.sig")
        files.write(path, f"{strictjson.encode_base64(signature)}\n".encode("ascii"))
        return path

    def accept(
        self, message: RootFile | TrustBundle, signatures: Mapping[str, bytes], name_key: TrustKey | None = None
    ) -> Path:
        """Writes a root file or bundle with its signatures by key id, made elsewhere, instead of those that were here.

        `name_key`: the root's public key, with root file 1 alone: it makes the folder a root's. Returns the payload.
        """
        files.make_folder(self.folder)
        path = self._write(message)
        for name in files.names_in(self.folder):
            key_id = name.removesuffix(".sig").rpartition(".")[2]
            if name.startswith(f"{path.name}.") and name.endswith(".sig") and key_id not in signatures:
                (self.folder / name).unlink()  # one that stopped counting would spoil the others
        for key_id, signature in signatures.items():
            place = path.with_name(f"{path.name}.{key_id}.sig")
            files.write(place, f"{strictjson.encode_base64(signature)}\n".encode("ascii"))
        if name_key is not None:
            files.write(self.folder / _NAME_KEY, f"{name_key.text}\n".encode("ascii"))
        return path

    def take_back(self, package: bytes, directory: bytes | None = None, *, replaces: bool = False) -> TakenBack:
        """Takes the root's newest package from a broker, for example after the folder came back from a backup.

        `directory`: the broker directory that its bundle names. `replaces`: a list or set of keys here with the same
        number and other content stays as `bundle-N.json.ours`, or `.ours-2` and so on beside earlier ones. Raises
        `ConfigurationError` without it, or if the folder has a newer list or newer keys, and the errors of
        `TrustStore.open`.

        A newer stamp of an older list is no newer news: a timer may stamp a restored folder before a person looks.
        """
        store = TrustStore().with_root(self.name_key)
        opened = store.open(package)
        before = self._opened(store)
        if before is not None:
            self._require_newer(opened.seen, before)
        parts = strictjson.decode(package, TrustPackage, limit_bytes=PACKAGE_LIMIT_BYTES)
        kept = self._keep_forks(parts, replaces=replaces)
        if before is not None and before.timestamp > opened.seen.timestamp:
            files.write(self.folder / _PACKAGE_BEFORE, self.package())  # doorbells may have seen its timestamp
        for data in parts.roots:
            self._accept_signed(data.encode(), RootFile)
        head = self._accept_signed(parts.bundle.encode(), TrustBundle)
        assert isinstance(head, TrustBundle)  # noqa: S101 (its type was asked for)
        if directory is not None and head.directory_sha256 is not None:
            open_directory(directory, head.root, head.directory_sha256)
            files.write(self.directory_path(head.version), directory)
        sections = self._with_known_sections(head, [each.encode() for each in parts.sections])
        if len(sections) == len(head.sections):
            whole = replace(parts, sections=tuple(each.decode() for each in sections))
            files.write(self.folder / _PACKAGE, strictjson.encode(whole))
        return TakenBack(len(head.sections) - len(sections), kept)

    def _opened(self, store: TrustStore) -> SeenVersion | None:
        """Returns the versions of the newest package, or None if it is missing or damaged."""
        if not files.is_file(self.folder / _PACKAGE):
            return None
        try:
            return store.open(self.package()).seen
        except (FormatError, OpenError, RequestError):
            return None

    def _require_newer(self, there: SeenVersion, ours: SeenVersion) -> None:
        """Raises `ConfigurationError` if this folder has something newer than a broker. Each way out ends."""
        is_same = (there.sha256, there.root_sha256) == (ours.sha256, ours.root_sha256)
        if ours.root_version > there.root_version and ours.version < there.version:
            raise ConfigurationError(
                f"{self.folder} has newer keys than list {there.version}, which the broker has.",
                remedy=f"Sign list {there.version + 1} with the keys of now, then stamp and publish it.",
            )
        if (
            ours.root_version > there.root_version
            or (ours.root_version == there.root_version and ours.version > there.version)
            or (is_same and ours.timestamp > there.timestamp)
        ):
            raise ConfigurationError(
                f"{self.folder} has something newer than list {there.version}.", remedy="Publish it."
            )

    def _keep_forks(self, parts: TrustPackage, *, replaces: bool) -> tuple[Path, ...]:
        """Puts payloads aside that have the number of one in the package and other content. Returns their new places.
        With sets of keys that differ, owners who saw both would refuse one."""
        forks = []
        for kind, signed in (*(("root", each) for each in parts.roots), ("bundle", parts.bundle)):
            form, limit_bytes = _TYPES[kind], BUNDLE_ENVELOPE_LIMIT_BYTES
            payload = envelope.read_several(signed.encode(), form.PAYLOAD_TYPE, limit_bytes=limit_bytes).payload
            path = self._path(kind, strictjson.decode(payload, form, limit_bytes=BUNDLE_LIMIT_BYTES).version)
            if files.is_file(path) and files.read(path, BUNDLE_LIMIT_BYTES) != payload:
                forks.append(path)
        if forks and not replaces:
            names = ", ".join(each.name for each in forks)
            raise ConfigurationError(
                f"The broker has {names} with other content than {self.folder}.",
                remedy="To take the broker's and keep yours beside it: doorward requester trust-root fetch --replace. "
                "Then sign the next list, with what both revoke. If you signed only one of them, keys are stolen.",
            )
        return tuple(self._keep(path) for path in forks)

    def _keep(self, path: Path) -> Path:
        """Copies a payload beside itself. Returns the copy. Another fork that was kept before stays."""
        data, number = files.read(path, BUNDLE_LIMIT_BYTES), 1
        while True:
            place = path.with_name(f"{path.name}.ours{f'-{number}' if number > 1 else ''}")
            there = files.read_if_there(place, BUNDLE_LIMIT_BYTES)
            if there is None:
                files.write(place, data)
            if there in (None, data):
                return place
            number += 1

    def _accept_signed(self, data: bytes, kind: type[RootFile | TrustBundle]) -> RootFile | TrustBundle:
        """Writes a message of a verified package with its signatures."""
        signed = envelope.read_several(data, kind.PAYLOAD_TYPE, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES)
        message = strictjson.decode(signed.payload, kind, limit_bytes=BUNDLE_LIMIT_BYTES)
        self.accept(message, signed.signatures)
        return message

    def _with_known_sections(self, bundle: TrustBundle, more: Sequence[bytes]) -> list[bytes]:
        """Writes the sections that the bundle names, of those in its file and of `more`. Returns them."""
        path = self.folder / sections_file(bundle.version, ())[0]
        known = files.read(path, PACKAGE_LIMIT_BYTES).splitlines() if files.is_file(path) else []
        by_hash = {hashlib.sha256(each).hexdigest(): each for each in (*known, *more)}
        found = [by_hash[each.sha256] for each in bundle.sections if each.sha256 in by_hash]
        self.write_sections(bundle.version, found)
        return found

    def stamp(self, signer: Signer, now_s: int, days: int, *, root_version: int = 0, bundle_version: int = 0) -> bytes:
        """Returns the package of a bundle that enough keys signed, with a new timestamp, and writes it.

        `root_version`, `bundle_version`: which ones, by default the newest in the folder. Raises `ConfigurationError`
        if a signature is missing: doorbells would refuse the package.
        """
        bundle_number = bundle_version or self._newest("bundle")
        if not bundle_number:
            raise ConfigurationError("There is no bundle yet.", remedy="Make it: doorward requester trust-root list.")
        root_number = root_version or self._newest("root")
        root_payload, bundle_payload = (
            files.read(self._path(*each), BUNDLE_LIMIT_BYTES)
            for each in (("root", root_number), ("bundle", bundle_number))
        )
        bundle = strictjson.decode(bundle_payload, TrustBundle, limit_bytes=BUNDLE_LIMIT_BYTES)
        timestamp = TrustTimestamp(
            v=1,
            root=self.name_key.id,
            version=self._next_timestamp(now_s),
            issued_s=now_s,
            expires_s=now_s + days * _DAY_S,
            root_version=root_number,
            root_sha256=hashlib.sha256(root_payload).hexdigest(),
            bundle_version=bundle_number,
            bundle_sha256=hashlib.sha256(bundle_payload).hexdigest(),
        )
        package = strictjson.encode(
            TrustPackage(
                v=1,
                roots=tuple(self._joined("root", number) for number in range(1, root_number + 1)),
                bundle=self._joined("bundle", bundle_number),
                timestamp=sign_for_root(signer, TrustTimestamp.PAYLOAD_TYPE, timestamp).decode(),
                sections=tuple(each.decode() for each in self.sections(bundle)),
            )
        )
        try:
            # As a doorbell does it: a package that doorbells would refuse must not replace a good one on the brokers.
            TrustStore().with_root(self.name_key).accept(package, now_s)
        except (FormatError, OpenError, RequestError) as error:
            raise ConfigurationError(
                f"Doorbells would refuse this package: {error.message}",
                remedy="Check that enough listed keys signed each root file and the bundle, and the timestamp's key.",
            ) from error
        files.write(self.folder / _PACKAGE, package)
        return package

    def package(self) -> bytes:
        """Returns the newest package. Raises `ConfigurationError` if nothing was stamped yet."""
        path = self.folder / _PACKAGE
        if not files.is_file(path):
            raise ConfigurationError(f"{path} is missing.", remedy="Make it: doorward requester trust-root stamp.")
        return files.read(path, PACKAGE_LIMIT_BYTES)

    def package_for(self, broker: BrokerAddress) -> bytes:
        """Returns the newest package as that broker gets it: with the sections of the cells that it serves.

        Without a directory, or if the directory does not name the broker, these are all.
        """
        package, data = self.package(), self.directory()
        if data is None:
            return package
        directory = strictjson.decode(data, BrokerDirectory, limit_bytes=DIRECTORY_LIMIT_BYTES)
        served = [cells for each in directory.brokers if each.address == broker for cells in each.cells]
        return with_sections(package, lambda cells: any(cells.overlaps(each) for each in served)) if served else package

    def root_files_with_room(self, brokers: Iterable[BrokerAddress] | None = None) -> int:
        """Returns how many more root files the root can have: as many as each of `brokers` has room for beside the
        list, and a package holds.

        Each counts as large as the largest now, also those that wait for signatures. `brokers`: None for those of the
        root's directory. Without any, the whole package counts. Without a package that can be read, only the number
        of root files does. With two signatures of each set of keys, a broker holds about nine of them.
        """
        newest = self._newest("root")
        left = MAX_ROOT_FILES - newest
        if not files.is_file(self.folder / _PACKAGE):
            return left
        try:
            package = self.package()
            roots = strictjson.decode(package, TrustPackage, limit_bytes=PACKAGE_LIMIT_BYTES).roots
            chosen = self.brokers() if brokers is None else brokers
            lengths = [len(self.package_for(each)) for each in chosen] or [len(package)]
        except DoorwardError:
            return left  # a change of keys must not wait until the file is whole again
        room = max(0, PUBLISHED_LIMIT_BYTES - max(lengths)) // max(map(len, roots))
        return max(0, min(left, room - (newest - len(roots))))

    def brokers(self) -> list[BrokerAddress]:
        """Returns the brokers in the directory that the newest package names; none without a directory."""
        data = self.directory()
        if data is None:
            return []
        listed = strictjson.decode(data, BrokerDirectory, limit_bytes=DIRECTORY_LIMIT_BYTES)
        return [each.address for each in listed.brokers]

    def directory(self) -> bytes | None:
        """Returns the broker directory that the bundle of the newest package names, or None if it names none."""
        package = strictjson.decode(self.package(), TrustPackage, limit_bytes=PACKAGE_LIMIT_BYTES)
        opened = envelope.read_several(
            package.bundle.encode(), TrustBundle.PAYLOAD_TYPE, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES
        )
        bundle = strictjson.decode(opened.payload, TrustBundle, limit_bytes=BUNDLE_LIMIT_BYTES)
        if bundle.directory_sha256 is None:
            return None
        data = files.read(self.directory_path(bundle.version), DIRECTORY_LIMIT_BYTES)
        open_directory(data, bundle.root, bundle.directory_sha256)
        return data

    def _next_timestamp(self, now_s: int) -> int:
        """Returns the time in UTC s, or one more than the package before. So a folder from a backup counts on, too.

        A damaged package counts as a missing one, which the next stamp replaces.
        """
        newest = now_s
        for name in (_PACKAGE, _PACKAGE_BEFORE):
            if not files.is_file(self.folder / name):
                continue
            with contextlib.suppress(FormatError, OpenError):
                data = files.read(self.folder / name, PACKAGE_LIMIT_BYTES)
                package = strictjson.decode(data, TrustPackage, limit_bytes=PACKAGE_LIMIT_BYTES)
                opened = envelope.read_several(
                    package.timestamp.encode(), TrustTimestamp.PAYLOAD_TYPE, limit_bytes=ROOT_ENVELOPE_LIMIT_BYTES
                )
                newest = max(newest, strictjson.decode(opened.payload, TrustTimestamp).version + 1)
        return newest

    def _joined(self, kind: str, number: int) -> str:
        """Returns a payload with all its signatures, as an envelope."""
        path = self._path(kind, number)
        found = {
            name.removesuffix(".sig").rpartition(".")[2]: strictjson.decode_base64(
                files.read(self.folder / name, _SIGNATURE_BYTES).decode("ascii", "replace").strip()
            )
            for name in files.names_in(self.folder)
            if name.startswith(f"{path.name}.") and name.endswith(".sig")
        }
        if not found:
            raise ConfigurationError(f"{path.name} has no signature.", remedy="doorward requester trust-root sign")
        payload = files.read(path, BUNDLE_LIMIT_BYTES)
        return envelope.with_signatures(_TYPES[kind].PAYLOAD_TYPE, payload, found).decode()

    def _write(self, message: RootFile | TrustBundle) -> Path:
        kind = "root" if isinstance(message, RootFile) else "bundle"
        path = self._path(kind, message.version)
        files.write(path, strictjson.encode(message))
        return path

    def _path(self, kind: str, number: int) -> Path:
        return self.folder / f"{kind}-{number}.json"

    def newest_bundle(self) -> int:
        """Returns the version of the newest bundle, signed or not. 0 without one."""
        return self._newest("bundle")

    def _newest(self, kind: str) -> int:
        forms = (_PAYLOAD.fullmatch(name) for name in files.names_in(self.folder) if name.startswith(f"{kind}-"))
        return max((int(form[2]) for form in forms if form is not None), default=0)

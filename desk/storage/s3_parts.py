"""Sealed parts of answers in a bucket of a store that speaks S3, as several receivers share them.

Each part is one object, `<prefix>/<disclosure>/<number>.age`, put once and never again. In a bucket with object lock, a
legal hold of a case also locks its objects, and a deletion removes each version. Its metadata say its hash and when it
was put, so a copy of the bucket needs them, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from agent.clients.requester.folder_index import is_id
from agent.clients.requester.sealed_parts import (
    PartsAwayError,
    PartsRefusedError,
    part_numbers,
    require_id,
    require_same,
    sha256_of,
)
from agent.errors import ConfigurationError, StorageError
from agent.platform import files

__all__ = ["S3Parts"]

_READ_BYTES: Final = 1 << 20
_TRIES: Final = 2
_CONNECT_S: Final = 4
_READ_S: Final = 10
"""Seconds without a byte. A receiver publishes nothing during a call, so a store that is cut off must fail soon: a try
may take both times, and a pause of up to 1 s comes between two. The receiver then publishes without the store, and
tries again."""
_MOST_DELETED: Final = 1000
"""Objects in one call (S3, DeleteObjects)."""
_PUT_MS: Final = "put-ms"
"""Metadata of a part: when it was put (UTC ms), by the clock of the desk. A copy of a bucket keeps it."""
_MS: Final = re.compile(r"[0-9]{1,15}")
_EXISTS: Final = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_WRONG_KEY: Final = ("SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied", "Forbidden", "403", "401")
_LEAST_FAULT: Final = 500
_NO_BUCKET: Final = ("NoSuchBucket", "NotFound", "404")
_NO_LOCK: Final = ("ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed", "InvalidRequest")


class S3Parts:
    """Parts in a bucket, below `prefix`. `capacity_bytes`: most bytes that may be there.

    `lock`: the bucket has object lock, and `hold` uses it. `authority`: certificates that are trusted besides the
    system's.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        prefix: str,
        access_key: str,
        secret_key: str,
        *,
        region: str = "us-east-1",
        lock: bool = False,
        capacity_bytes: int = 1 << 40,
        authority: Path | None = None,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._lock = lock
        self._capacity_bytes = capacity_bytes
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name=region,
            verify=str(authority) if authority else None,
            config=Config(
                retries={"total_max_attempts": _TRIES, "mode": "standard"},
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                # In the path, because a self-hosted store rarely has a DNS name for each bucket.
                s3={"addressing_style": "path"},
            ),
        )

    # Parts

    def put(self, disclosure: str, number: int, source: Path) -> None:
        key = self._key(disclosure, number)
        with self._errors(key), files.storage_errors(source):
            digest = sha256_of(source)
            with source.open("rb") as data:
                try:
                    self._client.put_object(
                        Bucket=self._bucket,
                        Key=key,
                        Body=data,
                        # The store refuses a second part of this name, also from another receiver at the same moment.
                        IfNoneMatch="*",
                        Metadata={"sha256": digest, _PUT_MS: str(int(time.time() * 1000))},
                    )
                except ClientError as error:
                    if _code(error) not in _EXISTS:
                        raise
                    there = self._client.head_object(Bucket=self._bucket, Key=key)
                    require_same(there["Metadata"].get("sha256", ""), digest, source)
            # Only now: until the store has answered, this file is the one copy.
            source.unlink()

    def pieces(self, disclosure: str, number: int) -> Iterator[bytes]:
        key, digest = self._key(disclosure, number), hashlib.sha256()
        with self._errors(key):
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if _code(error) in ("NoSuchKey", "404"):
                    raise StorageError(
                        f"{key} is not in the bucket {self._bucket}.", remedy="Restore it from a version or a backup."
                    ) from error
                raise
            with contextlib.closing(found["Body"]):
                for piece in found["Body"].iter_chunks(_READ_BYTES):
                    digest.update(piece)
                    yield piece
        require_same(digest.hexdigest(), found["Metadata"].get("sha256", ""), Path(key))

    def copy(self, disclosure: str, number: int, target: Path) -> None:
        with files.storage_errors(target):
            try:
                with target.open("xb") as copy:
                    for piece in self.pieces(disclosure, number):
                        copy.write(piece)
            # A file that was there before is not ours to remove.
            except FileExistsError:
                raise
            except BaseException:
                target.unlink(missing_ok=True)
                raise

    def numbers(self, disclosure: str) -> frozenset[int]:
        return part_numbers(each["Key"].rpartition("/")[2] for each in self._objects(disclosure))

    def size_bytes(self, disclosure: str) -> int:
        return sum(int(each["Size"]) for each in self._objects(disclosure))

    def stored(self) -> list[str]:
        """Returns the disclosures with a part here, in order.

        Lists the whole bucket below the prefix: a call for each thousand parts.
        """
        found = set[str]()
        with self._errors(self._prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}/"
            )
            for each in (each for page in pages for each in page.get("Contents", ())):
                disclosure = each["Key"].removeprefix(f"{self._prefix}/").rpartition("/")[0]
                if is_id(disclosure):
                    found.add(disclosure)
        return sorted(found)

    def place(self, disclosure: str) -> str:
        """Returns where the parts of the disclosure lie, for the operator."""
        return f"s3://{self._bucket}/{self._prefix}/{require_id(disclosure)}/"

    def arrived_ms(self, disclosure: str) -> int:
        """Returns when the newest part of the disclosure was put (UTC ms), by the clock of the desk. 0 without parts.

        The store's own date (`LastModified`) is that of a copy if the bucket was copied back. It is later, so it counts
        only for a part without our date, and against one that a fast clock wrote. One call for each part.
        """
        newest_ms = 0
        for each in self._objects(disclosure):
            with self._errors(each["Key"]):
                there = self._client.head_object(Bucket=self._bucket, Key=each["Key"])
            put_ms, stored_ms = there["Metadata"].get(_PUT_MS, ""), int(each["LastModified"].timestamp() * 1000)
            newest_ms = max(newest_ms, min(int(put_ms), stored_ms) if _MS.fullmatch(put_ms) else stored_ms)
        return newest_ms

    def remove(self, disclosure: str) -> None:
        """Deletes all versions of all parts. Raises `StorageError` if one is locked."""
        # In a bucket with versions, a plain deletion hides the bytes behind a marker.
        versions = list(self._versions(disclosure))
        with self._errors(disclosure):
            for at in range(0, len(versions), _MOST_DELETED):
                done = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": versions[at : at + _MOST_DELETED], "Quiet": True}
                )
                for failed in done.get("Errors", ()):
                    raise StorageError(
                        f"{failed['Key']} could not be deleted ({failed.get('Code')}).",
                        remedy="It may be locked until a legal hold or a retention of the bucket ends. The desk tries "
                        "again each minute.",
                    )

    def room(self, held_bytes: int, spare_bytes: int) -> int:
        """Returns the room in the bucket, or 0 if this machine has none left to assemble a part."""
        return self._capacity_bytes - held_bytes if spare_bytes > 0 else 0

    # Legal hold

    def hold(self, disclosure: str, *, on: bool) -> None:
        """Locks all parts of a disclosure against deletion, or ends the lock. Does nothing without object lock."""
        if not self._lock:
            return
        for each in self._objects(disclosure):
            with self._errors(each["Key"]):
                self._client.put_object_legal_hold(
                    Bucket=self._bucket, Key=each["Key"], LegalHold={"Status": "ON" if on else "OFF"}
                )

    # Start

    def check(self) -> None:
        """Raises `ConfigurationError` for a wrong key or bucket and for a bucket that cannot do what the desk needs,
        `PartsAwayError` if the store does not answer, and `PartsRefusedError`."""
        with self._errors(self._bucket):
            try:
                self._client.head_bucket(Bucket=self._bucket)
                self._check_lock()  # first: a retention would keep the object that the other check puts
                self._check_writing()
            except ClientError as error:
                self._explain(error)
                raise

    def _check_writing(self) -> None:
        """Puts an object, again in its place, and deletes it: all that a receiver needs."""
        key = f"{self._prefix}/check/{secrets.token_hex(8)}"
        self._client.put_object(Bucket=self._bucket, Key=key, Body=b"doorward", IfNoneMatch="*")
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=b"doorward", IfNoneMatch="*")
        except ClientError as error:
            if _code(error) not in _EXISTS:
                raise
        else:
            raise ConfigurationError(
                f"The store of bucket {self._bucket} replaces an object although If-None-Match forbids it.",
                remedy="Use a store with conditional writes, for example Amazon S3, MinIO, Ceph or SeaweedFS.",
            )
        finally:
            for each in self._versions_below(key):
                self._client.delete_object(Bucket=self._bucket, **each)

    def _check_lock(self) -> None:
        try:
            found = self._client.get_object_lock_configuration(Bucket=self._bucket)["ObjectLockConfiguration"]
        except ClientError as error:
            if _code(error) not in _NO_LOCK:
                raise
            found = {}
        if self._lock and found.get("ObjectLockEnabled") != "Enabled":
            raise ConfigurationError(
                f"Bucket {self._bucket} has no object lock.",
                remedy="Make a bucket with object lock, or set object_lock = false in desk.toml, [storage].",
            )
        if "DefaultRetention" in found.get("Rule", {}):
            raise ConfigurationError(
                f"Bucket {self._bucket} keeps each object for some time, so the desk could not delete as promised.",
                remedy="Remove the default retention of the bucket. The desk locks what a legal hold covers.",
            )

    def _explain(self, error: ClientError) -> None:
        """Raises `ConfigurationError` for a refusal that a setting causes."""
        code = _code(error)
        if code in _NO_BUCKET:
            raise ConfigurationError(
                f"The S3 store has no bucket {self._bucket}.",
                remedy="Make it, or correct bucket in desk.toml, [storage].",
            ) from error
        if code in _WRONG_KEY:
            raise ConfigurationError(
                f"The S3 store refuses the key for bucket {self._bucket} ({code}).",
                remedy="Check access_key and secret_key_file in desk.toml, [storage], and the rights of the key.",
            ) from error

    def close(self) -> None:
        self._client.close()

    def _objects(self, disclosure: str) -> list[dict[str, Any]]:
        prefix = f"{self._prefix}/{require_id(disclosure)}/"
        with self._errors(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return [each for page in pages for each in page.get("Contents", ())]

    def _versions(self, disclosure: str) -> list[dict[str, str]]:
        prefix = f"{self._prefix}/{require_id(disclosure)}/"
        with self._errors(prefix):
            return self._versions_below(prefix)

    def _versions_below(self, prefix: str) -> list[dict[str, str]]:
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
        return [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for page in pages
            for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]

    def _key(self, disclosure: str, number: int) -> str:
        return f"{self._prefix}/{require_id(disclosure)}/{number}.age"

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """A refusal is a fault of the store or its settings, never of an answer: `PartsRefusedError`, so that the
        receiver tries again and refuses no answer."""
        try:
            yield
        except ClientError as error:
            if _is_fault(error):
                raise PartsAwayError(
                    f"The S3 store does not answer: {_code(error)}.", remedy="Check that all its servers run."
                ) from error
            raise PartsRefusedError(
                f"The S3 store refused {name} ({_code(error)}).", remedy="Check the bucket and the rights of the key."
            ) from error
        except BotoCoreError as error:
            raise PartsAwayError(
                f"The S3 store does not answer: {error}.", remedy="Check that it runs, and its address."
            ) from error


def _is_fault(error: ClientError) -> bool:
    """A gateway answers with 500 or 503 while the servers behind it are away."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= _LEAST_FAULT


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))

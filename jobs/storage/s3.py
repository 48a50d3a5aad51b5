"""S3: objects are streamed in and out in parts, and appear whole or not at all.

Any endpoint and any credentials through the standard AWS variables and files. Nothing of boto3's own error texts is
shown: they may hold addresses with credentials in them.
"""

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast

from cfanet.errors import ConfigError, InputError, StorageError
from jobs.storage.base import PRIVATE_FOLDER, Entry, HashingWriter, hashing
from jobs.storage.s3_read import open_object
from jobs.storage.s3_write import Upload

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

SCHEME = "s3://"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_TRIES = 8
_CONNECT_S, _READ_S = 10, 60
_PAGE = 1000  # keys in one answer to a listing; the most there may be
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_CONDITION_FAILED = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})
_REFUSED = frozenset(
    {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "ExpiredToken"}
)
_CONDITION_UNKNOWN = frozenset({"501", "NotImplemented", "400", "InvalidArgument", "InvalidRequest"})


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`; the prefix is "" or ends with "/"; ConfigError when it is neither."""
    bucket, _, prefix = uri.removeprefix(SCHEME).partition("/")
    if not _BUCKET.fullmatch(bucket):  # the text is not repeated: it may hold a key and a secret
        raise ConfigError(
            "an s3:// address is not of the form s3://bucket/prefix; credentials come from the environment"
        )
    prefix = prefix.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


class S3Storage:
    """The objects under one prefix of one bucket."""

    def __init__(self, uri: str, client: Any = None) -> None:
        """Use `s3://bucket/prefix`; `client` replaces the boto3 client of the environment."""
        self._bucket, self._prefix = split_uri(uri)
        self.uri = f"{SCHEME}{self._bucket}/{self._prefix}".rstrip("/")
        self._given = client

    @property
    def _client(self) -> Any:
        if self._given is None:
            endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
            self._given = _shared_client(endpoint)
        return self._given

    def __getstate__(self) -> dict[str, Any]:
        """Only the address travels between processes; each makes its own client from its own environment."""
        return {**self.__dict__, "_given": None}

    def list(self, folder: str = "") -> Iterator[Entry]:
        """Every object in sorted order; InputError for a key that is no path, so that nothing is passed over."""
        start = self._prefix + (f"{folder.rstrip('/')}/" if folder else "")
        with self._explained(f"list {self.uri}"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=start, PaginationConfig={"PageSize": _PAGE}):
                for found in page.get("Contents", ()):
                    path = str(found["Key"]).removeprefix(self._prefix)
                    if path.endswith("/") and not found["Size"]:
                        continue  # what consoles write as an empty folder
                    if not folder and path.startswith(f"{PRIVATE_FOLDER}/"):
                        continue
                    if not all(part not in {"", ".", ".."} for part in path.split("/")):
                        raise InputError(f"{self.uri} holds {path!r}, which is no path of a file: rename the object")
                    yield Entry(path, int(found["Size"]), str(found["ETag"]).strip('"'))

    def entry(self, path: str) -> Entry | None:
        """Size and ETag of one object; None when there is none."""
        head = self._head(path)
        return None if head is None else Entry(path, int(head["ContentLength"]), str(head["ETag"]).strip('"'))

    def _head(self, path: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with self._explained(f"look at {path} in {self.uri}"):
            try:
                return cast(dict[str, Any], self._client.head_object(Bucket=self._bucket, Key=self._prefix + path))
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise

    def open_read(self, path: str, etag: str = "") -> BinaryIO:
        """Open one object; every request names the same ETag, so that nothing can change in between."""
        answer = self._answer(path, etag, 0)
        found, size = str(answer["ETag"]).strip('"'), int(answer["ContentLength"])

        def get(first: int) -> Any:
            return self._get(path, found, first)

        return open_object(get, size, f"{path} in {self.uri}", answer["Body"])

    def _get(self, path: str, etag: str, first: int) -> Any:
        """The body of an object from byte `first` on."""
        answer = self._answer(path, etag, first)
        if first and not str(answer.get("ContentRange", "")).startswith(f"bytes {first}-"):
            raise StorageError(f"the server of {self.uri} does not support ranges: it cannot be read safely")
        return answer["Body"]

    def _answer(self, path: str, etag: str, first: int) -> dict[str, Any]:
        """What the server says to a GET from byte `first` on, of an object that still has `etag` if one is named."""
        where: dict[str, Any] = {"Range": f"bytes={first}-"} if first else {}
        if etag:
            where["IfMatch"] = f'"{etag}"'
        with self._explained(f"read {path} in {self.uri}"):
            return cast(dict[str, Any], self._client.get_object(Bucket=self._bucket, Key=self._prefix + path, **where))

    @contextlib.contextmanager
    def open_write(self, path: str, exclusive: bool = False) -> Iterator[HashingWriter]:
        """Upload in parts; the object appears when the last request, after the block, has succeeded."""
        from botocore.exceptions import ClientError

        if exclusive and self.entry(path) is not None:
            raise FileExistsError(f"{path} is in {self.uri} already")
        upload = Upload(self._client, self._bucket, self._prefix + path, exclusive)
        try:
            with hashing(upload) as writer, self._explained(f"write {path} to {self.uri}"):
                yield writer
                try:
                    upload.complete()
                except ClientError as error:
                    if not exclusive or _code(error) not in _CONDITION_FAILED | _CONDITION_UNKNOWN:
                        raise
                    if _code(error) in _CONDITION_FAILED:
                        raise FileExistsError(f"{path} is in {self.uri} already") from None
                    upload.complete(unconditionally=True)  # the check above is all this store can do
        except BaseException:
            upload.abort()
            raise
        written = self.entry(path)
        if written is None or written.size != writer.size:
            raise StorageError(
                f"{path} in {self.uri} is not what was written: another job writes there; stop one of them"
            )

    def delete(self, path: str) -> None:
        """Remove one object if it is there."""
        with self._explained(f"delete {path} in {self.uri}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + path)

    def keeps_versions(self) -> bool:
        """True where the bucket keeps old versions, or may not be asked whether it does."""
        try:
            with self._explained(f"ask for the versioning of {self.uri}"):
                return bool(self._client.get_bucket_versioning(Bucket=self._bucket).get("Status"))
        except (InputError, StorageError, FileNotFoundError):
            return True

    def check_source(self) -> None:
        """InputError when the bucket does not exist or may not be listed."""
        with self._explained(f"list {self.uri}"):
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def check_writable(self) -> None:
        """InputError when no object can be written there."""
        path = f"{PRIVATE_FOLDER}/probe"
        with self.open_write(path) as file:
            file.write(b"may this job write here?\n")
        self.delete(path)

    def clear_scratch(self) -> None:
        """Abort every upload under the prefix that a killed run left open: their parts cost money and show nowhere."""
        with self._explained(f"clear up in {self.uri}"):
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for found in page.get("Uploads", ()):
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=found["Key"], UploadId=found["UploadId"]
                    )

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Turn boto3's errors into ours: one sentence, without anything the server or the library said."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            _raise_refusal(error, what)
        except (BotoCoreError, Boto3Error) as error:
            _raise_failure(error, what)


def _code(error: "ClientError") -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _raise_refusal(error: "ClientError", what: str) -> NoReturn:
    code = _code(error)
    if code in _MISSING:
        raise FileNotFoundError(f"cannot {what}: it is not there") from None
    if code in _REFUSED:
        raise InputError(f"cannot {what} ({code}): check the bucket, the credentials and their rights") from None
    if code in _CONDITION_FAILED:
        raise StorageError(f"cannot {what}: it changed while it was being used; run the same command again") from None
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    raise StorageError(
        f"cannot {what} ({code or 'no code'}, HTTP {status}), tried often: run the command again"
    ) from None


def _raise_failure(error: "BotoCoreError | Exception", what: str) -> NoReturn:
    kind = type(error).__name__
    if "Credential" in kind or "Profile" in kind or "Token" in kind:
        raise InputError(f"cannot {what} ({kind}): set the standard AWS variables or a profile") from None
    raise StorageError(f"cannot {what} ({kind}), tried often: check AWS_ENDPOINT_URL, then run again") from None


@functools.lru_cache(maxsize=4)
def _shared_client(endpoint: str) -> Any:
    """One client a process and endpoint; boto3 reads everything else from its variables and files."""
    import boto3
    from botocore.config import Config

    settings: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", _TRIES))},
        "connect_timeout": _CONNECT_S,
        "read_timeout": _READ_S,
        "max_pool_connections": 16,
    }
    if endpoint:
        settings["s3"] = {"addressing_style": "path"}  # a server of one's own seldom has a name for each bucket
    return boto3.client("s3", config=Config(**settings))

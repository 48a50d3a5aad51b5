"""Writing an object in parts, of which one is in memory at a time; nothing appears before `complete`."""

import contextlib
import uuid
from typing import Any

_PART_BYTES = 8 * 2**20
_PARTS_A_SIZE = 1500  # then parts double: 10,000 of them, the most there may be, hold 1.2 TiB
_TOKEN = "cfanet-upload"  # metadata by which an object is known to be this upload's
_CHECKSUM = "ChecksumCRC32"


class Upload:
    """One object on its way out: one request when it is small, a multipart upload otherwise."""

    def __init__(self, client: Any, bucket: str, key: str, exclusive: bool) -> None:
        """Write `key`; `exclusive` asks the store to refuse when it is there already."""
        self._client = client
        self._place = {"Bucket": bucket, "Key": key}
        self._condition = {"IfNoneMatch": "*"} if exclusive else {}
        self._token = uuid.uuid4().hex
        self._buffer = bytearray()
        self._id = ""  # of the multipart upload, once there is one
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes, /) -> int:
        """Append `data`; sends a part when one is full."""
        self._buffer += data
        while len(self._buffer) >= (size := self._part_size):
            self._send(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return len(data)

    @property
    def _part_size(self) -> int:
        return int(_PART_BYTES * 2 ** (len(self._parts) // _PARTS_A_SIZE))

    def _send(self, data: bytes) -> None:
        if not self._id:
            started = self._client.create_multipart_upload(**self._place, Metadata={_TOKEN: self._token})
            self._id = started["UploadId"]
        number = len(self._parts) + 1
        sent = self._client.upload_part(**self._place, UploadId=self._id, PartNumber=number, Body=data)
        part = {"PartNumber": number, "ETag": sent["ETag"]}
        if _CHECKSUM in sent:  # boto3's default; stores that do not know it do not answer with it
            part[_CHECKSUM] = sent[_CHECKSUM]
        self._parts.append(part)

    def complete(self, unconditionally: bool = False) -> None:
        """Make the object appear, whole; botocore's ClientError when the store refuses."""
        from botocore.exceptions import ClientError

        condition = {} if unconditionally else self._condition
        if self._id and self._buffer:
            self._send(bytes(self._buffer))
            self._buffer.clear()
        try:
            if self._id:
                self._client.complete_multipart_upload(
                    **self._place, UploadId=self._id, MultipartUpload={"Parts": self._parts}, **condition
                )
            else:
                body = bytes(self._buffer)
                self._client.put_object(**self._place, Body=body, Metadata={_TOKEN: self._token}, **condition)
        except ClientError:
            # An answer that got lost makes boto3 ask again, and then the upload is gone, or in its own way.
            if not self._is_ours():
                raise
        self._id = ""

    def _is_ours(self) -> bool:
        from botocore.exceptions import ClientError

        try:
            found = self._client.head_object(**self._place)
        except ClientError:
            return False
        return bool(found.get("Metadata", {}).get(_TOKEN) == self._token)

    def abort(self) -> None:
        """Throw away what was sent; what cannot be aborted now is cleared by the next run."""
        from botocore.exceptions import BotoCoreError, ClientError

        if not self._id:
            return
        with contextlib.suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(**self._place, UploadId=self._id)
        self._id = ""

"""Reading an object: a connection that breaks off is opened again where it stopped."""

import io
import time
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from cfanet.errors import StorageError

_BUFFER = 1 << 20
_REOPENINGS = 8  # in a row without a byte; then it is given up
_FIRST_PAUSE_S = 0.1
_SKIP = 1 << 18  # a jump ahead of at most so many bytes is read over: cheaper than another request

Get = Callable[[int], Any]
"""First byte → botocore's StreamingBody from there on."""


def open_object(get: Get, size: int, name: str, body: Any) -> BinaryIO:
    """A buffered, seekable stream of one object of `size` bytes; StorageError, with `name`, when it cannot be read.

    `body` is its first StreamingBody, from byte 0 on.
    """
    return cast(BinaryIO, io.BufferedReader(_ObjectReader(get, size, name, body), _BUFFER))


class _ObjectReader(io.RawIOBase):
    """Bytes of one object; knows how many there are, so that an early end is never taken for the end."""

    def __init__(self, get: Get, size: int, name: str, body: Any) -> None:
        self._get = get
        self._size = size
        self._name = name
        self._position = 0
        self._body = body
        self._at = 0  # where the open body stands

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        for attempt in range(_REOPENINGS):
            if attempt:
                time.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
            data = self._try_read(wanted)
            if data:
                buffer[: len(data)] = data
                self._position += len(data)
                return len(data)
        raise StorageError(f"{self._name} breaks off at byte {self._position}, tried often: run the command again")

    def _try_read(self, wanted: int) -> bytes:
        """Some bytes from the position on, or none when the connection broke."""
        from botocore.exceptions import BotoCoreError

        try:
            self._reach()
            data = cast(bytes, self._body.read(wanted))
        except FileNotFoundError:
            raise StorageError(f"{self._name} was removed while it was being read: run the command again") from None
        except (BotoCoreError, OSError):  # botocore translates those of its connection
            data = b""
        if data:
            self._at += len(data)
        else:  # broken, or ended before its time
            self._drop()
        return data

    def _reach(self) -> None:
        """Have a body open that stands at the position."""
        ahead = self._position - self._at
        if self._body is not None and 0 < ahead <= _SKIP:
            while ahead and (skipped := len(self._body.read(ahead))):
                self._at += skipped
                ahead -= skipped
        if self._body is None or self._at != self._position:
            self._drop()
            self._body = self._get(self._position)
            self._at = self._position

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        self._drop()
        super().close()

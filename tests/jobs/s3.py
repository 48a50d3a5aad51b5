"""A real S3 endpoint over HTTP (moto's server), and a proxy that makes it fail as networks do."""

import contextlib
import http.client
import http.server
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

FAULTS = ("500", "503", "cut", "lost", "slow")
ACCESS, SECRET = "AKIDTESTONLY", "never-to-be-seen-in-any-output"


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """The address of an empty endpoint for the block."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def variables(endpoint: str) -> dict[str, str]:
    """The standard AWS variables for an endpoint."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Bucket:
    """What tests look at and put there, with a client of their own."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.name = name
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )
        self.client.create_bucket(Bucket=name)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def names(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def uploads(self) -> int:
        return len(self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ()))


class FaultyProxy:
    """Passes requests on; a share of them goes wrong, each in one of the ways of `FAULTS`.

    500 and 503 never reach the server; "cut" closes in the middle of the answer's body; "lost" closes after the server
    has done what was asked and before anything is answered; "slow" waits.
    """

    def __init__(self, endpoint: str, share: float, seed: int = 0, kinds: tuple[str, ...] = FAULTS) -> None:
        self.counts: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                with proxy._lock:
                    fault = proxy._random.choice(kinds) if proxy._random.random() < share else ""
                    proxy.counts["requests"] += 1
                    proxy.counts[fault or "fine"] += 1
                body = self._body()
                if fault in {"500", "503"}:
                    self._answer(int(fault), {}, b"<Error><Code>SlowDown</Code></Error>")
                    return
                if fault == "slow":
                    time.sleep(0.3)
                host = endpoint.removeprefix("http://")
                server = http.client.HTTPConnection(host, timeout=30)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
                server.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
                answer = server.getresponse()
                data = answer.read()
                server.close()
                if fault == "lost":
                    self._hang_up()
                    return
                cut = len(data) // 2 if fault == "cut" else None
                self._answer(answer.status, dict(answer.getheaders()), data, cut)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

            def _body(self) -> bytes:
                if self.headers.get("Expect", "").lower() == "100-continue":
                    pass  # the base class has answered it already
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                data = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return data

            def _answer(self, status: int, headers: dict[str, str], data: bytes, cut: int | None = None) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                        self.send_header(name, value)
                length = headers.get("Content-Length", len(data)) if self.command == "HEAD" else len(data)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data[:cut])
                if cut is not None:
                    self._hang_up()

            def _hang_up(self) -> None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that was killed is what some tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FaultyProxy":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

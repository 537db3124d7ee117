"""S3, SNS, SQS and Kinesis in this process: moto's server on a free port of the loopback."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

__all__ = ["ACCOUNT_ID", "REGION", "Moto", "client_error", "moto_server"]

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"


@dataclass(frozen=True)
class Moto:
    """A running server."""

    endpoint_url: str

    def client(self, service: str) -> Any:
        """Return a boto3 client of the server."""
        return boto3.client(
            service,  # type: ignore[call-overload]  # any service moto has
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@contextlib.contextmanager
def moto_server() -> Iterator[Moto]:
    """Run a server."""
    # Imported late: it takes a second.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Moto(f"http://{host}:{port}")
    finally:
        # All servers of a process have the same state: leave none for the next one's tests.
        reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset, timeout=30).close()
        server.stop()


def client_error(code: str, status: int) -> ClientError:
    """Return the error boto3 raises for this answer of a service."""
    answer: Any = {
        "Error": {"Code": code, "Message": "text"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "Operation")

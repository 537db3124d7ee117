"""One question to the daemon of this machine."""

from __future__ import annotations

import http.client
import ssl

from streamd.config import ServerSettings

__all__ = ["answer_of", "ask"]

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
_LONGEST_ANSWER = 500


def ask(server: ServerSettings, path: str, *, timeout_seconds: float) -> tuple[bool, str]:
    """Ask for a path where these settings listen; returns whether it is well, and the answer.

    Proxies of the environment are passed by: the question never leaves the machine.
    """
    try:
        status, text = answer_of(server, path, timeout_seconds=timeout_seconds)
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from {server.listen}: {str(error) or type(error).__name__}"
    return status == http.HTTPStatus.OK, text


def answer_of(server: ServerSettings, path: str, *, timeout_seconds: float) -> tuple[int, str]:
    """Return the status and the text of the answer.

    Raises:
        OSError: If nobody answers.
        http.client.HTTPException: If it is not HTTP.

    """
    host = _ANY_ADDRESS.get(server.host, server.host)
    connection: http.client.HTTPConnection
    if server.tls_cert is None:
        connection = http.client.HTTPConnection(host, server.port, timeout=timeout_seconds)
    else:
        # The certificate is for the name that clients use, not for the loopback address.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001 - see above
        connection = http.client.HTTPSConnection(
            host, server.port, timeout=timeout_seconds, context=context
        )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read(_LONGEST_ANSWER).decode(errors="replace").strip()
    finally:
        connection.close()
    return answer.status, text

"""One question to the daemon of this machine."""

from __future__ import annotations

import http.client
import ssl

from streamd.config import ServerSettings

__all__ = ["ask"]

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
_LONGEST_ANSWER = 500


def ask(server: ServerSettings, path: str, *, timeout_seconds: float) -> tuple[bool, str]:
    """Ask for a path where these settings listen; returns whether it is well, and the answer.

    Proxies of the environment are passed by: the question never leaves the machine.
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
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from {server.listen}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return answer.status == http.HTTPStatus.OK, text

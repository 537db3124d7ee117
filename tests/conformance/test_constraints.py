"""Every constraint of every served operation, broken once and sent as raw HTTP.

The cases are generated from AWS's service descriptions. Each starts from a request that has
every member the operation knows, all within their bounds, and breaks one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.daemon import Daemon
from tests.support.served import REKOGNITION, served_operations
from tests.support.shapes import Break, breaks, load_model
from tests.support.wire import Wire, check_error

_IMAGE_BYTES = {"ImageBlob"}


def _cases() -> Iterator[object]:
    for service, operation in served_operations():
        for case in breaks(load_model(service), operation):
            yield pytest.param(service, operation, case, id=f"{operation}:{case.name}")


@pytest.mark.parametrize(("service", "operation", "case"), list(_cases()))
def test_a_broken_constraint_is_refused(
    service: str,
    operation: str,
    case: Break,
    wire: Wire,
    contents: Callable[[], object],
) -> None:
    """One broken rule is one error that names member and rule, and nothing changes."""
    before = contents()
    reply = wire.call(service, operation, case.request)
    message = check_error(service, reply, code=_code(service, case))
    assert contents() == before
    if case.path is None:
        return
    if case.shape in _IMAGE_BYTES and "less than" in case.rule:
        return
    # Nothing else is wrong with the request: every violation is of this member.
    assert message.count(" failed to satisfy ") == message.count(f" at '{case.path}' failed to ")
    assert case.rule in message


def test_the_daemon_has_seen_nothing_unforeseen(daemon: Daemon) -> None:
    """After all of it the daemon serves, and no request ended in a traceback."""
    assert daemon.get("/readyz")[0] == 200
    assert "Traceback" not in daemon.log()


def _code(service: str, case: Break) -> str:
    if case.path is None:
        return "SerializationException"
    if case.shape in _IMAGE_BYTES and "less than" in case.rule:
        return "ImageTooLargeException"
    return "InvalidParameterException" if service == REKOGNITION else "InvalidArgumentException"

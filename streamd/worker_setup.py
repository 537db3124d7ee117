"""What the control process tells its workers, and how it shares the machine among them.

Apart from the worker itself, so that the control process does not hold what only sessions need.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from streamd.config import Settings, dump_settings, parse_dump
from streamd.cores import usable_cores

__all__ = ["SWITCH_INTERVAL_SECONDS", "WorkerSetup", "analysis_threads", "worker_count"]

SWITCH_INTERVAL_SECONDS = 0.0005
"""A busy Python thread starves decoders of the same process at the default of 5 ms."""


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What the control process tells a worker."""

    settings: Settings
    endpoint_url: str
    """Where the embedded Kinesis Video listens."""
    access_key_id: str | None = None
    """A key of this run of the daemon alone, where requests must be signed."""
    secret_access_key: str | None = None
    delivers_leftovers: bool = True
    """One worker of a daemon delivers what ended sessions left behind."""
    cameras: tuple[str, ...] = ()
    """Names of the cameras this worker relays when their lease is its own."""
    replica_id: str = ""
    """Of the control process."""

    def dump(self) -> str:
        """Return the setup as one line; it holds secrets."""
        return json.dumps(
            {
                "settings": dump_settings(self.settings),
                "endpoint_url": self.endpoint_url,
                "access_key_id": self.access_key_id,
                "secret_access_key": self.secret_access_key,
                "delivers_leftovers": self.delivers_leftovers,
                "cameras": self.cameras,
                "replica_id": self.replica_id,
            }
        )

    @classmethod
    def parse(cls, line: str) -> WorkerSetup:
        """Read what :meth:`dump` wrote."""
        values = json.loads(line)
        values["settings"] = parse_dump(values["settings"])
        values["cameras"] = tuple(values["cameras"])
        return cls(**values)


def worker_count(settings: Settings) -> int:
    """Return how many worker processes to run; 0 means none but the control process."""
    if settings.server.workers is not None:
        return settings.server.workers
    return max(1, usable_cores() // 2)


def analysis_threads(settings: Settings) -> int:
    """Return a worker's share of the cores."""
    share = max(1, usable_cores() // max(1, worker_count(settings)))
    return settings.analysis.threads or share

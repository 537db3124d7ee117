"""For processes under libfaketime: sleeps that it does not break.

Python sleeps until a moment of the monotonic clock; libfaketime reckons how long that is and, if
the moment is over by then, asks the system for a negative time: EINVAL.
"""

from __future__ import annotations

import threading
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    threading.Event().wait(float(seconds))


time.sleep = _sleep

"""What an operation is to the server: from a caller and a request's members to an answer's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from streamd.api.caller import Caller

__all__ = ["Handler", "Output", "Params", "RunBlocking"]

Params = Mapping[str, Any]
"""The request's members, parsed and within the model's constraints; absent ones are absent."""
Output = dict[str, Any]
"""The answer's members; those that are ``None`` are left out."""
Handler = Callable[[Caller, Params], Awaitable[Output]]
RunBlocking = Callable[..., Awaitable[Any]]
"""``await run(function, *args)``: a blocking call in an executor made for its kind."""

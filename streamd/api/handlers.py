"""What an operation is to the server: a coroutine from the request's members to the answer's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

__all__ = ["Handler", "Output", "Params", "RunBlocking"]

Params = Mapping[str, Any]
"""The request's members, parsed and within the model's constraints; absent ones are absent."""
Output = dict[str, Any]
"""The answer's members; those that are ``None`` are left out."""
Handler = Callable[[Params], Awaitable[Output]]
RunBlocking = Callable[..., Awaitable[Any]]
"""``await run(function, *args)``: a blocking call in an executor made for its kind."""

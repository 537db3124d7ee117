"""What the gate cannot read; whoever meets it decodes everything instead.

::

    HeadError    the head of a picture, or a parameter set, is damaged or unusual
"""

from __future__ import annotations

from streamd.errors import StreamdError

__all__ = ["HeadError"]


class HeadError(StreamdError, ValueError):
    """The head of a picture or a parameter set is damaged, or of a kind that is not read here."""

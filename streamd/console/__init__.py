"""The console: a page for people at ``/console``, and what the AWS APIs cannot tell it.

The page calls the Rekognition API itself, signed in the browser. :mod:`.routes` adds what only
this daemon knows: frames that were just analysed, sightings, how cameras are. It reads alone.
"""

from streamd.console.console import Console
from streamd.console.page import OPEN_PATHS

__all__ = ["OPEN_PATHS", "Console"]

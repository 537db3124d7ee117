"""Pagination tokens: opaque, bound to the operation that gave them, at most 255 characters.

A token holds where the next page begins and a check value, so that a token that was changed,
made up, or given by another operation or for another collection is told from a real one. It
holds nothing secret, and works on every replica and after a restart.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import string

from streamd.api.refusals import invalid_token

__all__ = ["read_token", "write_token"]

# The alphabet of every name and id that is paged through.
_ALPHABET = string.ascii_letters + string.digits + "_.-"
_DIGITS = {character: number for number, character in enumerate(_ALPHABET, start=1)}
_BASE = len(_ALPHABET) + 1
_CHECK_BYTES = 5


def write_token(scope: str, after: str) -> str:
    """Return the token for the page after the name or id ``after``.

    Args:
        scope: The operation, and the collection where it lists one.
        after: Last name of the page before.

    """
    # As a number an id of 255 characters takes 193 bytes; base 85 keeps that below 255.
    number = 0
    for character in after:
        number = number * _BASE + _DIGITS[character]
    packed = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.b85encode(_check(scope, packed) + packed).decode()


def read_token(scope: str, token: str | None) -> str | None:
    """Return where the page of a token begins, ``None`` for the first page.

    Raises:
        ServiceError: ``InvalidPaginationTokenException``.

    """
    if token is None:
        return None
    try:
        raw = base64.b85decode(token.encode("ascii"))
    except (UnicodeEncodeError, ValueError, binascii.Error):
        raise invalid_token() from None
    check, packed = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    if not packed or check != _check(scope, packed):
        raise invalid_token()
    number = int.from_bytes(packed, "big")
    characters = []
    while number:
        number, digit = divmod(number, _BASE)
        if digit == 0:
            raise invalid_token()
        characters.append(_ALPHABET[digit - 1])
    after = "".join(reversed(characters))
    # Base 85 has spellings that decode to the same bytes; only one of them is ours.
    if write_token(scope, after) != token:
        raise invalid_token()
    return after


def _check(scope: str, packed: bytes) -> bytes:
    digest = hashlib.blake2b(packed, digest_size=_CHECK_BYTES, person=b"streamd-page")
    digest.update(scope.encode())
    return digest.digest()

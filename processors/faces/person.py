"""One vector for several faces of one person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["person_vector"]


def person_vector(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of the vectors, brought back to their mean length.

    Light, pose and blur of the single pictures cancel in the mean, so that a person is told
    from others better than by the nearest of the pictures. A mean is shorter than what it is
    the mean of, which would bring strangers nearer, too: hence the length, and a pack's
    similarity scale goes on to hold. Nine people, 38 photos, each photo against everybody's
    others: the least similar photo of the right person was at 99.0 %, the most similar one of
    a wrong person at 64.5 % (``yunet-retail0095``; the nearest picture: 98.4 and 69.1 %, the
    mean as it is: 99.5 and 74.8 %).

    Args:
        vectors: Shape (n, d), n at least 1.

    """
    exact = vectors.astype(np.float64)
    mean = exact.mean(axis=0)
    length = float(np.linalg.norm(mean))
    wanted = float(np.linalg.norm(exact, axis=1).mean())
    if length <= 1e-6 * wanted:
        # Vectors that cancel each other have no direction in common: no person's faces do.
        mean, length = exact[0], wanted
    person: NDArray[np.float32] = (mean * (wanted / length)).astype(np.float32)
    return person

"""The faces of an image that a request compares with others: read, found and described."""

from __future__ import annotations

import functools

from processors.faces.analyzer import FaceAnalyzer
from streamd.api.handlers import Params, RunBlocking
from streamd.api.image_analysis import FaceAnalysis, analyze_faces
from streamd.api.images import ImageReader

__all__ = ["QueryFaces"]


class QueryFaces:
    """Reads the images of searches and comparisons."""

    def __init__(self, *, images: ImageReader, run_analysis: RunBlocking) -> None:
        self._images = images
        self._run_analysis = run_analysis

    async def read(
        self,
        analyzer: FaceAnalyzer,
        params: Params,
        member: str = "Image",
        *,
        largest_only: bool = True,
    ) -> FaceAnalysis:
        """Return the faces of one of a request's images; there may be none.

        Args:
            analyzer: Finds and embeds.
            params: The request; its QualityFilter is NONE where it names none.
            member: The member of the request that is the image.
            largest_only: See :func:`~streamd.api.image_analysis.analyze_faces`.

        Raises:
            ServiceError: What AWS answers if the image cannot be used.

        """
        image = await self._images.read(params[member])
        analysis: FaceAnalysis = await self._run_analysis(
            functools.partial(
                analyze_faces,
                analyzer,
                image,
                quality_filter=params.get("QualityFilter", "NONE"),
                largest_only=largest_only,
            )
        )
        return analysis

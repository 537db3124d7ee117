"""Label detection: PERSON, PET and PACKAGE in pictures."""

from processors.labels.analyzer import DetectorLabels, LabelAnalyzer
from processors.labels.build import FAMILIES, build
from processors.labels.from_faces import PersonFromFaces

__all__ = ["FAMILIES", "DetectorLabels", "LabelAnalyzer", "PersonFromFaces", "build"]

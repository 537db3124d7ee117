"""Label detection: PERSON, PET and PACKAGE in pictures, and everything else a network can tell."""

from processors.labels.analyzer import DetectorLabels, LabelAnalyzer
from processors.labels.build import FAMILIES, build
from processors.labels.from_faces import PersonFromFaces
from processors.labels.general import GeneralLabel, general_labels

__all__ = [
    "FAMILIES",
    "DetectorLabels",
    "GeneralLabel",
    "LabelAnalyzer",
    "PersonFromFaces",
    "build",
    "general_labels",
]

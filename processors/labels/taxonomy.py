"""The taxonomy of general labels: what networks' classes are called, and what stands above them.

The facts are in ``taxonomy.toml``. A network's class that it does not know is a label of its
own name, in AWS's style of capital letters, and nothing more is said of it.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from pydantic import BaseModel, ConfigDict, TypeAdapter

__all__ = ["CATEGORIES", "LabelKind", "Taxonomy", "taxonomy"]

CATEGORIES = frozenset(
    {
        "Actions",
        "Animals and Pets",
        "Apparel and Accessories",
        "Beauty and Personal Care",
        "Buildings and Architecture",
        "Colors and Visual Composition",
        "Damage Detection",
        "Education",
        "Events and Attractions",
        "Everyday Objects",
        "Expressions and Emotions",
        "Food and Beverage",
        "Furniture and Furnishings",
        "Health and Fitness",
        "Hobbies and Interests",
        "Home Appliances",
        "Home and Indoors",
        "Kitchen and Dining",
        "Materials",
        "Medical",
        "Nature and Outdoors",
        "Offices and Workspaces",
        "Patterns and Shapes",
        "Performing Arts",
        "Person Description",
        "Plants and Flowers",
        "Popular Landmarks",
        "Profession",
        "Public Safety",
        "Religion",
        "Sports",
        "Symbols and Flags",
        "Technology and Computing",
        "Text and Documents",
        "Tools and Machinery",
        "Toys and Gaming",
        "Transport and Logistics",
        "Travel and Adventure",
        "Vehicles and Automotive",
        "Weapons and Military",
    }
)
"""The label categories of Amazon Rekognition (*Developer Guide*, list of labels 3.0)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelKind:
    """What is known of one label."""

    name: str
    parents: tuple[str, ...] = ()
    """All labels above it, not only those right above, by name."""
    aliases: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class Taxonomy:
    """Labels by their names and by networks' classes."""

    def __init__(self, kinds: Mapping[str, LabelKind], classes: Mapping[str, str]) -> None:
        self._kinds = kinds
        self._classes = classes

    def of_class(self, class_name: str) -> LabelKind:
        """Return the label of a network's class, one of the same name where none is known."""
        name = self._classes.get(class_name.lower())
        return LabelKind(name=_capitals(class_name)) if name is None else self._kinds[name]

    def label(self, name: str) -> LabelKind:
        """Return a label that stands above another."""
        return self._kinds[name]

    @property
    def names(self) -> frozenset[str]:
        """All labels there are."""
        return frozenset(self._kinds)


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    category: str


@functools.cache
def taxonomy() -> Taxonomy:
    """Return the taxonomy that comes with the package."""
    text = resources.files(__package__).joinpath("taxonomy.toml").read_text(encoding="utf-8")
    entries = TypeAdapter(dict[str, _Entry]).validate_python(tomllib.loads(text))
    kinds = {
        name: LabelKind(
            name=name,
            parents=tuple(sorted(_ancestors(name, entries))),
            aliases=entry.aliases,
            categories=(entry.category,),
        )
        for name, entry in entries.items()
    }
    classes = {each: name for name, entry in entries.items() for each in entry.classes}
    return Taxonomy(kinds, classes)


def _ancestors(name: str, entries: Mapping[str, _Entry]) -> set[str]:
    parents = entries[name].parents
    return set(parents).union(*(_ancestors(parent, entries) for parent in parents))


def _capitals(class_name: str) -> str:
    """``wine_glass`` → ``Wine Glass``; capitals that are there stay (``TV stand``)."""
    words = class_name.replace("_", " ").split()
    return " ".join(word[0].upper() + word[1:] for word in words)

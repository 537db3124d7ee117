"""The catalog is complete, and users can describe packs of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from processors.errors import PackFormatError, UnknownPackError
from processors.models.catalog import Pack, PackFile, catalog, find_pack, read_pack


def test_the_face_packs() -> None:
    """Two face packs, whose vectors never mix, with all abilities of AWS's newest model."""
    versions = {pack.name: pack.version for pack in catalog() if pack.kind == "faces"}
    assert versions == {"builtin": "8.1", "yunet-retail0095": "8.2"}


@pytest.mark.parametrize("pack", catalog(), ids=lambda pack: pack.name)
def test_every_pack_is_complete(pack: Pack) -> None:
    """Every file has a hash, a size, a licence and a source; label packs name labels."""
    assert re.fullmatch(r"[0-9.]+", pack.version)
    assert pack.title
    assert pack.licence
    for file in pack.files:
        assert file.sha256 is not None
        assert file.size_bytes
        assert file.licence
        assert file.source
    assert (pack.kind == "labels") == bool(pack.labels)


def test_the_forbidden_file_is_not_listed() -> None:
    """dlib's 68-point predictor was trained on data for non-commercial use."""
    names = [file.name for pack in catalog() for file in pack.files]
    assert not [name for name in names if "68_face" in name]


def test_unknown_names() -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(UnknownPackError, match="'nope', there are builtin"):
        find_pack("nope")


def test_a_users_own_pack(tmp_path: Path) -> None:
    """A description of one file is enough; it lies beside it and needs no hash."""
    path = tmp_path / "door.toml"
    path.write_text(
        """
        kind = "labels"
        family = "yolox"
        labels = ["PERSON"]
        files = [{ name = "door.onnx", role = "detector" }]
        options = { size_px = 416 }
        """
    )
    pack = find_pack(str(path))
    assert (pack.name, pack.version, pack.folder) == ("door", "0", tmp_path.resolve())
    assert pack.files[0].sha256 is None
    assert pack.options["size_px"] == 416


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = ", "cannot read the pack description"),
        ('kind = "smells"\nfamily = "x"', "kind faces or labels"),
        ('family = "x"', "kind"),
        ('kind = "labels"\nfamily = "x"\ncolour = 1', "colour"),
        ('kind = "labels"\nfamily = "x"\nversion = "v1"', "digits and dots"),
        ('kind = "labels"\nfamily = "x"\nfiles = [{ name = "a" }]', "role"),
        ('kind = "labels"\nfamily = "x"\nfiles = 3', "int"),
        (
            'kind = "labels"\nfamily = "x"\nfiles = '
            '[{ name = "a", role = "r" }, { name = "b", role = "r" }]',
            "names a role twice",
        ),
    ],
    ids=["syntax", "kind", "no-kind", "key", "version", "no-role", "no-list", "twice"],
)
def test_descriptions_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    """The error says what is wrong with the description."""
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(PackFormatError, match=message):
        read_pack(path)


def test_a_description_that_is_missing(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(PackFormatError, match=r"gone\.toml"):
        read_pack(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    "wrong", [{"sha256": "ABC"}, {"url": "http://plain.example/f"}], ids=["sha256", "url"]
)
def test_files_that_are_wrong(wrong: dict[str, str]) -> None:
    """Hashes are 64 lower-case hex digits, official addresses use https."""
    good = {"name": "f", "role": "r", "sha256": None, "size_bytes": None}
    with pytest.raises(PackFormatError, match="'f' needs"):
        PackFile(**(good | {"licence": "x", "source": "x"} | wrong))  # type: ignore[arg-type]  # wrong on purpose

"""The lock files of the container image hold what pyproject.toml asks for."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "lock"
PYTHON = "3.13"
"""Of Debian 13, which the image is made of."""
EXTRAS = {"cpu": ("faces", "postgres"), "cuda": ("faces", "postgres", "cuda")}


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest) -> str:
    """The two kinds of machine the image is built for."""
    return str(request.param)


def environment(machine: str) -> dict[str, str]:
    """Return what markers are evaluated with in the image."""
    return {
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.5",
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def requirements(lines: Iterator[str] | list[str], machine: str) -> Iterator[Requirement]:
    """Yield the requirements that hold on that machine."""
    for line in lines:
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate(environment(machine)):
            yield one


def locked(variant: str, machine: str) -> dict[str, Version]:
    """Return name and version of each package that is installed on that machine."""
    text = (LOCKS / f"{variant}.txt").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            found.update(
                {
                    canonicalize_name(one.name): Version(next(iter(one.specifier)).version)
                    for one in requirements([line.split(" --hash")[0].strip()], machine)
                }
            )
    return {str(name): version for name, version in found.items()}


def asked(variant: str, machine: str) -> list[Requirement]:
    """Return what pyproject.toml asks for, with the extras the image has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = list(project["dependencies"])
    for extra in EXTRAS[variant]:
        lines += project["optional-dependencies"][extra]
    return list(requirements(lines, machine))


@pytest.mark.parametrize("variant", EXTRAS)
def test_the_lock_satisfies_pyproject(variant: str, machine: str) -> None:
    """Each requirement is pinned, within its range; if it is not: ``make lock``.

    The image for the CPU has ONNX Runtime for the CPU, in the same range.
    """
    pins = locked(variant, machine)
    for one in asked(variant, machine):
        name = canonicalize_name(one.name)
        if variant == "cpu" and name == "onnxruntime-gpu":
            assert name not in pins, "two packages of one module"
            name = canonicalize_name("onnxruntime")
        assert name in pins, f"{one} is not in deploy/lock/{variant}.txt: make lock"
        assert one.specifier.contains(pins[name]), f"{one}, locked is {pins[name]}: make lock"


@pytest.mark.parametrize("variant", EXTRAS)
def test_the_lock_is_closed(variant: str, machine: str) -> None:
    """What the locked packages need is locked, too, as far as they are installed here."""
    pins = locked(variant, machine)
    looked_at = 0
    for name in pins:
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        looked_at += 1
        for need in requirements(needs, machine):
            assert canonicalize_name(need.name) in pins, f"{name} needs {need}: make lock"
    assert looked_at > len(pins) / 2


@pytest.mark.parametrize("file", ["build", *EXTRAS])
def test_every_pin_has_hashes(file: str) -> None:
    """pip --require-hashes refuses a file with a single one without."""
    entries = re.findall(r"^([a-z0-9][^\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}.*\n)*)",
                         (LOCKS / f"{file}.txt").read_text(), re.MULTILINE)  # fmt: skip
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert (LOCKS / f"{file}.txt").read_text().count("==") >= len(entries)


def test_the_cpus_range_is_pyprojects() -> None:
    """What stands in for the GPU's build is asked for in the same versions."""
    gpu = next(one for one in asked("cpu", "x86_64") if one.name == "onnxruntime-gpu")
    for file in ("cpu.in", "cpu-override.txt"):
        lines = [x for x in (LOCKS / file).read_text().splitlines() if x.startswith("onnxruntime>")]
        assert [Requirement(line).specifier for line in lines] == [gpu.specifier], file

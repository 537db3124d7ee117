"""The image's definition, as it is written."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from pathlib import Path

import pytest

from streamd.config import load_settings
from tests.deploy.checker import CheckerUnavailableError, run_checker

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy" / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """Return each instruction and its arguments, on one line."""
    lines = [x for x in CONTAINERFILE.read_text().splitlines() if not x.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    pairs = (line.split(None, 1) for line in text.splitlines() if line.strip())
    return [(name.upper(), rest) for name, rest in pairs]


def last(name: str) -> str:
    """Return the arguments of the last instruction of that name, the one that counts."""
    return [rest for found, rest in instructions() if found == name][-1]


def test_buildkit_finds_nothing_wrong(tmp_path: Path) -> None:
    """BuildKit's own linter has no warning; it would have one for a shell form."""
    try:
        assert run_checker("containerfile", CONTAINERFILE) == (0, "")
    except CheckerUnavailableError as error:
        pytest.skip(str(error))
    bad = tmp_path / "Containerfile"
    bad.write_text("FROM debian\nCMD echo x\n")
    code, said = run_checker("containerfile", bad)
    assert code == 1
    assert "JSONArgsRecommended" in said


def test_the_base_is_pinned() -> None:
    """By a digest, for every stage."""
    base = next(rest for name, rest in instructions() if name == "ARG")
    assert re.fullmatch(r"BASE=\S+:trixie-\d{8}-slim@sha256:[0-9a-f]{64}", base)
    sources = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert sources == ["${BASE}", "${BASE}"]


def test_it_runs_as_nobody_in_particular() -> None:
    """A user by number, so that Kubernetes can tell it is not root, and it owns its folder."""
    uid, gid = last("USER").split(":")
    assert int(uid) == int(gid) >= 1000
    assert f"-o {uid} -g {gid} -m 0700 /var/lib/streamd" in CONTAINERFILE.read_text()
    assert json.loads(last("VOLUME")) == ["/var/lib/streamd"]


def test_signals_reach_the_daemon() -> None:
    """No shell between, and a first process that passes them on."""
    assert json.loads(last("ENTRYPOINT")) == ["/usr/bin/tini", "--", "/opt/streamd/bin/streamd"]
    assert json.loads(last("CMD")) == ["serve"]
    assert last("STOPSIGNAL") == "SIGTERM"
    assert json.loads(last("HEALTHCHECK").partition(" CMD ")[2])[1:] == ["health"]


def test_its_variables_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is accepted, and alone they refuse to serve the world without a key."""
    words = (word.partition("=") for word in shlex.split(last("ENV")))
    variables = {name: value for name, _, value in words if name.startswith("STREAMD_")}
    assert variables.pop("STREAMD_CONFIG") == "/etc/streamd/streamd.toml"
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="which others can reach"):
        load_settings()
    monkeypatch.setenv("STREAMD_AUTH__INSECURE", "true")
    server = load_settings().server
    assert server.listen == "0.0.0.0:8700"
    assert str(server.data_dir) == "/var/lib/streamd"


def test_all_it_copies_is_there_and_let_in() -> None:
    """.dockerignore keeps everything out but what is copied."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    copied = set()
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            sources = rest.replace("${VARIANT}", "cpu").split()[:-1]
            copied |= {
                next(x for x in let_in if fnmatch.fnmatch(f"{s}/", f"{x}/*")) for s in sources
            }
            assert all((ROOT / source).exists() for source in sources)
    assert copied == let_in


def test_packages_come_by_hash_alone() -> None:
    """Every pip that asks the index requires hashes; the others ask nobody."""
    runs = [rest for name, rest in instructions() if name == "RUN"]
    commands = [one for run in runs for one in re.findall(r"/build/bin/pip .*?(?=&&|$)", run)]
    assert len(commands) == 4
    assert all("--require-hashes" in one or "--no-index" in one for one in commands)

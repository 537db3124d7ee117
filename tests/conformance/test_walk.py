"""A random walk through the operations, each answer checked against a model of the matrix.

``WALK_EXAMPLES=500 WALK_STEPS=100 pytest tests/conformance/test_walk.py`` walks for longer.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.shapes import load_model, problems
from tests.support.walk import (
    ACTIVE,
    AFTER,
    ALLOWED,
    FAILED,
    FAILURES,
    IN_USE,
    MOVES,
    RUNNING,
    STARTING,
    STOPPED,
    STOPPING,
    Expected,
    apply_update,
)

EXAMPLES = int(os.environ.get("WALK_EXAMPLES", "15"))
STEPS = int(os.environ.get("WALK_STEPS", "40"))
FACE_LIMIT = 2
SETTLE_SECONDS = 20.0
BOX = {"BoundingBox": {"Left": 0.25, "Top": 0.0, "Width": 0.5, "Height": 1.0}}
POLYGON = {"Polygon": [{"X": 0.0, "Y": 0.0}, {"X": 1.0, "Y": 0.0}, {"X": 0.5, "Y": 1.0}]}

_runs = itertools.count()


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:us-east-1:000000000000:{resource}"


@dataclass
class World:
    """The daemon under the walk."""

    client: Any
    stream_arn: str
    seen: dict[str, int] = field(default_factory=dict)
    """How often each (operation, outcome) came: the walk must not miss a part of the matrix."""

    def call(self, operation: str, **params: Any) -> tuple[str, Any]:
        """Return the error code, or ``ok``, and the answer or the error's text."""
        try:
            answer = getattr(self.client, operation)(**params)
        except ClientError as error:
            answer = error.response
            code, result = answer["Error"]["Code"], answer["Error"]["Message"]
        else:
            code, result = "ok", answer
        status = answer.pop("ResponseMetadata")["HTTPStatusCode"]
        assert status == (200 if code == "ok" else 400)
        self.seen[f"{operation} {code}"] = self.seen.get(f"{operation} {code}", 0) + 1
        return code, result


class Walk(RuleBasedStateMachine):
    """Random operations on a handful of names."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.prefix = f"walk-{next(_runs)}-"
        self.expected: dict[str, Expected] = {}
        for name, kind in zip("abcd", sorted(MOVES), strict=True):
            self._create(name, kind, regions=[], tags={}, value=None)

    names = st.sampled_from(["a", "b", "c", "d", "e_.-5"])
    tags = st.dictionaries(
        st.sampled_from(["team", "Team", "a b", "ä:/=+-@"]), st.sampled_from(["", "1", "x y"])
    )

    many_tags = st.integers(47, 51).map(lambda count: {f"number {n}": "" for n in range(count)})

    @rule(
        name=names,
        kind=st.sampled_from(sorted(MOVES)),
        regions=st.sampled_from([[], [BOX, POLYGON]]),
        tags=tags,
        value=st.sampled_from([None, 0.0, 79.5, 85.5, 100.0]),
    )
    def create(
        self, name: str, kind: str, regions: list[Any], tags: dict[str, str], value: float | None
    ) -> None:
        self._create(name, kind, regions=regions, tags=tags, value=value)

    @rule(name=names)
    def describe(self, name: str) -> None:
        code, result = self.world.call("describe_stream_processor", Name=self.prefix + name)
        if (expected := self._found(name, code, result)) is None:
            return
        assert code == "ok"
        self._check_described(expected, result)

    @rule(size=st.sampled_from([1, 2, 1000, None]))
    def list_all(self, size: int | None) -> None:
        items: list[dict[str, str]] = []
        request: dict[str, Any] = {} if size is None else {"MaxResults": size}
        while True:
            code, page = self.world.call("list_stream_processors", **request)
            assert code == "ok"
            assert len(page["StreamProcessors"]) <= (size or 1000)
            # What a failed walk has left behind is not this one's.
            items += [i for i in page["StreamProcessors"] if i["Name"].startswith(self.prefix)]
            if "NextToken" not in page:
                break
            request["NextToken"] = page["NextToken"]
        assert [item["Name"] for item in items] == sorted(self.prefix + n for n in self.expected)
        for item in items:
            expected = self.expected[item["Name"].removeprefix(self.prefix)]
            self._narrow(expected, {item["Status"]})

    @rule(name=names)
    def start_and_look(self, name: str) -> None:
        self.start(name, "right")
        self.describe(name)

    @rule(name=names, selector=st.sampled_from(["right", "right", "right", "wrong"]))
    def start(self, name: str, selector: str) -> None:
        expected = self.expected.get(name)
        is_right = selector == "right"
        wants_selector = expected is not None and not expected.is_face
        request: dict[str, Any] = {"Name": self.prefix + name}
        if wants_selector == is_right:
            request["StartSelector"] = {"KVSStreamStartSelector": {"FragmentNumber": "1"}}
            request["StopSelector"] = {"MaxDurationInSeconds": 1}
        code, result = self.world.call("start_stream_processor", **request)
        if self._found(name, code, result) is None:
            return
        assert expected is not None
        if not is_right:
            assert code == "InvalidParameterException"
            assert result.startswith("Request has invalid parameters. ")
        elif code == "LimitExceededException":
            assert result == (f"Stream processor limit exceeded for account, limit - {FACE_LIMIT}.")
            assert expected.is_face
            assert self._active_faces(name, at_most=True) >= FACE_LIMIT
            self._narrow(expected, ALLOWED["start"])
        else:
            if code == "ok":
                assert set(result) == {"SessionId"}
                assert not expected.is_face or self._active_faces(name, at_most=False) < FACE_LIMIT
            self._check_outcome("start", expected, code, result)

    @rule(name=names)
    def stop(self, name: str) -> None:
        self._act("stop", name)

    @rule(name=names, again=st.sampled_from([True, True, True, False]))
    def delete(self, name: str, again: bool) -> None:
        self._act("delete", name)
        if again and name not in self.expected:
            self._create(name, "face", regions=[], tags={}, value=None)

    @rule(name=names)
    def start_and_stop(self, name: str) -> None:
        self.start(name, "right")
        self.stop(name)

    @rule(
        name=names,
        labels=st.sampled_from([None, ["PERSON"], ["PERSON", "ALL"]]),
        confidence=st.sampled_from([None, 0.0, 42.25]),
        regions=st.sampled_from([None, [], [POLYGON]]),
        opt_in=st.sampled_from([None, True, False]),
        deleted=st.lists(
            st.sampled_from(["ConnectedHomeMinConfidence", "RegionsOfInterest"]), unique=True
        ),
    )
    def update(
        self,
        name: str,
        labels: list[str] | None,
        confidence: float | None,
        regions: list[Any] | None,
        opt_in: bool | None,
        deleted: list[str],
    ) -> None:
        home = _present(Labels=labels, MinConfidence=confidence)
        request = _present(
            SettingsForUpdate={"ConnectedHomeForUpdate": home} if home else None,
            RegionsOfInterestForUpdate=regions,
            DataSharingPreferenceForUpdate=None if opt_in is None else {"OptIn": opt_in},
            ParametersToDelete=deleted or None,
        )
        name_and = {"Name": self.prefix + name, **request}
        code, result = self.world.call("update_stream_processor", **name_and)
        twice = ("RegionsOfInterest" in deleted and regions is not None) or (
            "ConnectedHomeMinConfidence" in deleted and confidence is not None
        )
        if twice and code == "InvalidParameterException":
            assert result.endswith("can not be both updated and deleted.")
            return
        if (expected := self._found(name, code, result)) is None:
            return
        if code == "InvalidParameterException":
            assert result.endswith("The settings of a face search can not be updated.")
            assert expected.is_face
            assert home or "ConnectedHomeMinConfidence" in deleted
            self._narrow(expected, ALLOWED["update"])
            return
        self._check_outcome("update", expected, code, result)
        if code == "ok":
            assert not twice
            apply_update(expected.described, home, regions, opt_in, deleted)

    @rule(name=names, tags=st.one_of(tags, many_tags))
    def tag(self, name: str, tags: dict[str, str]) -> None:
        code, result = self.world.call("tag_resource", ResourceArn=self._arn(name), Tags=tags)
        if expected := self._found_resource(name, code, result):
            if len(expected.tags | tags) > 50:
                assert (code, result) == (
                    "ServiceQuotaExceededException",
                    "A resource can have at most 50 tags.",
                )
                return
            assert (code, result) == ("ok", {})
            expected.tags |= tags

    @rule(name=names, tags=tags)
    def untag(self, name: str, tags: dict[str, str]) -> None:
        keys = list(tags)
        code, result = self.world.call("untag_resource", ResourceArn=self._arn(name), TagKeys=keys)
        if expected := self._found_resource(name, code, result):
            assert (code, result) == ("ok", {})
            for key in keys:
                expected.tags.pop(key, None)

    @rule(name=names)
    def list_tags(self, name: str) -> None:
        code, result = self.world.call("list_tags_for_resource", ResourceArn=self._arn(name))
        if expected := self._found_resource(name, code, result):
            assert (code, result) == ("ok", {"Tags": expected.tags})

    def teardown(self) -> None:
        """Whatever was asked for comes to rest, and everything can be deleted."""
        for name in [*self.expected]:
            wait_until(partial(self._is_gone, name), seconds=SETTLE_SECONDS, what=name)
        self.list_all(None)

    def _create(
        self,
        name: str,
        kind: str,
        *,
        regions: list[Any],
        tags: dict[str, str],
        value: float | None,
    ) -> None:
        request, described = self._definition(name, kind, value)
        if regions:
            request["RegionsOfInterest"] = described["RegionsOfInterest"] = regions
        code, result = self.world.call("create_stream_processor", **request, Tags=tags)
        if name in self.expected:
            assert (code, result) == (
                "ResourceInUseException",
                "Stream processor name already in use.",
            )
            return
        assert (code, result) == ("ok", {"StreamProcessorArn": described["StreamProcessorArn"]})
        self.expected[name] = Expected(
            kind=kind, described=described, possible={STOPPED}, tags=dict(tags)
        )

    def _is_gone(self, name: str) -> bool:
        expected = self.expected[name]
        self.describe(name)
        (status,) = expected.possible
        if status == RUNNING:
            self.stop(name)
        elif status != STOPPING:
            self._act("delete", name)
        return name not in self.expected

    def _act(self, operation: str, name: str) -> None:
        code, result = self.world.call(f"{operation}_stream_processor", Name=self.prefix + name)
        if (expected := self._found(name, code, result)) is None:
            return
        self._check_outcome(operation, expected, code, result)
        if code == "ok":
            assert result == {}
            if operation == "delete":
                del self.expected[name]

    def _check_outcome(self, operation: str, expected: Expected, code: str, result: Any) -> None:
        if code == "ok":
            self._narrow(expected, ALLOWED[operation])
            expected.possible = {AFTER.get(operation, STOPPED)}
            return
        assert (code, result) == ("ResourceInUseException", IN_USE[operation])
        self._narrow(expected, {STOPPED, *ACTIVE, FAILED} - ALLOWED[operation])

    def _narrow(self, expected: Expected, explaining: set[str]) -> None:
        """Keep the statuses that explain an answer."""
        left = expected.moved() & explaining
        assert left, (expected.kind, expected.moved(), explaining)
        expected.possible = left

    def _found(self, name: str, code: str, result: Any) -> Expected | None:
        if name not in self.expected:
            assert (code, result) == (
                "ResourceNotFoundException",
                f"Stream processor {self.prefix}{name} not found.",
            )
            return None
        return self.expected[name]

    def _found_resource(self, name: str, code: str, result: Any) -> Expected | None:
        if name not in self.expected:
            text = f"Resource {self._arn(name)} not found."
            assert (code, result) == ("ResourceNotFoundException", text)
            return None
        return self.expected[name]

    def _check_described(self, expected: Expected, result: dict[str, Any]) -> None:
        status = result.pop("Status")
        message = result.pop("StatusMessage", None)
        created, updated = result.pop("CreationTimestamp"), result.pop("LastUpdateTimestamp")
        assert result == expected.described
        assert created <= updated
        if expected.updated is not None:
            assert updated >= expected.updated
            assert updated > expected.updated or {status} <= expected.possible
        self._narrow(expected, {status})
        expected.updated = updated
        assert (message is not None) == (status == FAILED) or status in {STARTING, RUNNING}
        if status == FAILED and expected.kind in FAILURES:
            assert message == FAILURES[expected.kind]

    def _active_faces(self, but: str, *, at_most: bool) -> int:
        """Count the other face searches that may hold a session, or that surely do."""
        others = [e for name, e in self.expected.items() if name != but and e.is_face]
        fits: Callable[[set[str]], bool] = (
            (lambda statuses: bool(statuses & ACTIVE))
            if at_most
            else (lambda statuses: statuses <= ACTIVE)
        )
        return sum(1 for other in others if fits(other.moved()))

    def _arn(self, name: str) -> str:
        return arn("rekognition", f"streamprocessor/{self.prefix}{name}")

    def _definition(
        self, name: str, kind: str, value: float | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a Create request and what Describe makes of it."""
        stream = arn("kinesisvideo", "stream/nowhere/1700000000000")
        request: dict[str, Any] = {
            "Name": self.prefix + name,
            "Input": {
                "KinesisVideoStream": {
                    "Arn": stream if kind == "face without a stream" else self.world.stream_arn
                }
            },
            "RoleArn": "arn:aws:iam::000000000000:role/streamd",
        }
        if kind == "label":
            home = {"Labels": ["PERSON"], **_present(MinConfidence=value)}
            request |= {
                "Output": {"S3Destination": {"Bucket": "bucket"}},
                "NotificationChannel": {"SNSTopicArn": arn("sns", "topic")},
                "Settings": {"ConnectedHome": home},
            }
            filled = {"ConnectedHome": {"MinConfidence": 50.0, **home}}
        else:
            collection = "missing" if kind == "face without a collection" else "people"
            search = {"CollectionId": collection, **_present(FaceMatchThreshold=value)}
            request |= {
                "Output": {"KinesisDataStream": {"Arn": arn("kinesis", "stream/out")}},
                "Settings": {"FaceSearch": search},
            }
            filled = {"FaceSearch": {**search, "FaceMatchThreshold": max(80.0, value or 0.0)}}
        described = {
            **request,
            "Settings": filled,
            "StreamProcessorArn": self._arn(name),
            "DataSharingPreference": {"OptIn": False},
        }
        return request, described


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _check_answer(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict["status_code"] == 200:
        model = load_model("rekognition")
        shape = model.output_shape(operation_model.name)
        assert problems(model, shape, json.loads(response_dict["body"])) == []


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon on which few face searches may run at once."""
    environment = {
        "STREAMD_SERVER__WORKERS": "1",
        "STREAMD_LIMITS__FACE_SEARCH_SESSIONS": str(FACE_LIMIT),
        "STREAMD_ANALYSIS__SESSION_IDLE_SECONDS": "0.3",
    }
    data_dir = tmp_path_factory.mktemp("walk") / "data"
    with running_daemon(data_dir, environment) as daemon:
        yield _prepared(daemon)
        assert "Traceback" not in daemon.log()


def _prepared(daemon: Daemon) -> World:
    client = daemon.client("rekognition")
    client.meta.events.register("before-parse.rekognition", _check_answer)
    client.create_collection(CollectionId="people")
    video = daemon.client("kinesisvideo")
    created = video.create_stream(StreamName="quiet", DataRetentionInHours=1)
    return World(client=client, stream_arn=created["StreamARN"])


def test_a_random_walk_keeps_to_the_matrix(world: World) -> None:
    """Whatever is asked in whatever order, every answer is one the documented matrix allows."""
    walk = type("WalkOfOneDaemon", (Walk,), {"world": world})
    is_long = EXAMPLES > 100
    run_state_machine_as_test(
        walk,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            # Sessions take their own time, so a failure is shown as it was, not made smaller.
            phases=[Phase.generate],
            derandomize=not is_long,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for outcome in ("start ok", "start Resource", "stop ok", "stop Resource", "update ok"):
        operation, code = outcome.split()
        assert any(key.startswith(f"{operation}_stream_processor {code}") for key in world.seen), (
            outcome,
            world.seen,
        )

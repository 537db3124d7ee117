"""The chart installed in a real Kubernetes: pods run, hooks go, upgrades roll, and what remains.

``make kubernetes`` builds the cluster's programs; ``STREAMD_KUBERNETES=localhost/streamd:cpu``
names the image (``make image``), which podman, docker or buildah has. Root is needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.surroundings import KEY, Surroundings
from tests.services.fetched import ServiceUnavailableError
from tests.services.kubernetes.cluster import NODE, Cluster, running_cluster
from tests.support.chart import CHART
from tests.support.daemon import wait_until
from tests.support.postgresql import ServerMissingError
from tests.support.shared import needs_shared

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(1200)]

IMAGE = os.environ.get("STREAMD_KUBERNETES", "")
TAG = "here"
NAME = f"registry.example.com/streamd:{TAG}"
SETTINGS = ("--config", "/etc/streamd/config/streamd.toml")
# A node of two cores has no room for what ci/ asks.
SMALL = {
    "resources.requests.cpu": "100m",
    "resources.requests.memory": "256Mi",
    "resources.limits.memory": "1Gi",
    "minReadySeconds": "3",
}
OURS = {
    "image.registry": "registry.example.com",
    "image.repository": "streamd",
    "image.tag": TAG,
    "image.digest": "",
    "image.pullPolicy": "Never",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if not IMAGE:
        pytest.skip("STREAMD_KUBERNETES names no image of streamd to run in a Kubernetes")
    try:
        with running_cluster() as running:
            archive = running.folder / "streamd.tar"
            _save(IMAGE, archive)
            running.load_image(archive)
            yield running
    except (ServiceUnavailableError, ServerMissingError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def surroundings(cluster: Cluster) -> Surroundings:
    site = Surroundings(cluster)
    site.prepare()
    site.start_database()
    site.start_bucket()
    return site


def _save(image: str, archive: Path) -> None:
    """Write an image as ``docker save`` does, by whoever has it."""
    for engine, commands in {
        "buildah": [["push", image, f"docker-archive:{archive}:{NAME}"]],
        "podman": [["tag", image, NAME], ["save", f"--output={archive}", NAME]],
        "docker": [["tag", image, NAME], ["save", f"--output={archive}", NAME]],
    }.items():
        if shutil.which(engine) is None:
            continue
        done = [
            subprocess.run([engine, *each], capture_output=True, check=False) for each in commands
        ]
        if all(each.returncode == 0 for each in done):
            return
    raise ServiceUnavailableError(f"no engine here has the image {image}: make image")


class Release:
    """One release in a namespace of its own, and what helm and the cluster say of it."""

    def __init__(self, cluster: Cluster, name: str, ci: str | None = None, **settings: str) -> None:
        self.name = "streamd"
        self.namespace = name
        self._cluster = cluster
        self._files = [] if ci is None else [f"--values={CHART / 'ci' / f'{ci}-values.yaml'}"]
        self._settings = {**SMALL, **OURS, **settings}
        self._region = ""

    def install(self, **settings: str) -> str:
        """Install and wait for the pods; returns the notes."""
        notes = self._set("install", settings)
        found = re.search(r"AWS_REGION=(\S+)", notes)
        assert found is not None, notes
        self._region = found[1]
        return notes

    def upgrade(self, **settings: str) -> str:
        """Change settings for good, and wait for the new pods."""
        self._settings |= settings
        return self._set("upgrade", {})

    def try_upgrade(self, seconds: int, **settings: str) -> str:
        """Upgrade with settings that cannot work; returns what helm says."""
        return self.fail("upgrade", seconds, **settings)

    def fail(self, command: str, seconds: int, **settings: str) -> str:
        """Install or upgrade with settings that cannot work; returns what helm says."""
        done = self._run(self._command(command, settings, seconds))
        assert done.returncode != 0, "it should have failed"
        return done.stderr

    def rollback(self, revision: int = 0) -> None:
        """Go back to an earlier revision, else the last one, and wait."""
        said = self._quietly("rollback", self.name, str(revision), "--wait", "--timeout=300s")
        assert "Rollback was a success" in said

    def test(self) -> None:
        """Run ``helm test``."""
        said = self._quietly("test", self.name, "--logs", "--timeout=120s")
        for line in ("rekognition list_stream_processors", "kinesisvideo list_streams"):
            assert f"{line}: answered" in said

    def uninstall(self) -> None:
        """Uninstall."""
        self._quietly("uninstall", self.name, "--wait", "--timeout=120s")

    def ask(self, pod: int, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call an operation of Rekognition by the Service, from inside a pod."""
        scheme = self.service()["spec"]["ports"][0]["name"]
        port = self.service()["spec"]["ports"][0]["port"]
        program = (
            "import boto3, json, sys\n"
            "keys = json.loads(sys.argv[1])\n"
            "client = boto3.client('rekognition', endpoint_url=sys.argv[2], **keys, verify=False)\n"
            "print(json.dumps(getattr(client, sys.argv[3])(**json.loads(sys.argv[4]))))\n"
        )
        keys = {
            "aws_access_key_id": self.key()["access_key_id"],
            "aws_secret_access_key": self.key()["secret_access_key"],
            "region_name": self._region,
        }
        url = f"{scheme}://{self.name}.{self.namespace}.svc:{port}"
        said = self.kubectl(
            *("exec", f"{self.name}-{pod}", "--", "python", "-W", "ignore", "-c", program),
            *(json.dumps(keys), url, operation, json.dumps(arguments)),
        )
        answer: dict[str, Any] = json.loads(said)
        return answer

    def key(self) -> dict[str, str]:
        """Return the key that the pods take."""
        return KEY

    def pod(self, number: int) -> dict[str, Any]:
        """Return a pod."""
        return self.get("pod", f"{self.name}-{number}")

    def ready(self) -> set[str]:
        """Return the UIDs of the pods that are ready, and were not told to go."""
        pods = self.get("pods", "--selector=app.kubernetes.io/component=streamd")["items"]
        return {
            pod["metadata"]["uid"]
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            for condition in pod["status"].get("conditions", ())
            if (condition["type"], condition["status"]) == ("Ready", "True")
        }

    def objects(self) -> set[str]:
        """Return what of the release is in the namespace, ``kind/name``."""
        kinds = (
            "pods,services,statefulsets,jobs,secrets,configmaps,persistentvolumeclaims,"
            "serviceaccounts,poddisruptionbudgets,networkpolicies,ingresses,"
            "horizontalpodautoscalers"
        )
        mine = f"--selector=app.kubernetes.io/instance={self.name}"
        return set(self.kubectl("get", kinds, mine, "--output=name").split())

    def evict(self, number: int) -> subprocess.CompletedProcess[str]:
        """Ask a pod to go, as a node that is drained does."""
        name = {"name": f"{self.name}-{number}", "namespace": self.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": name}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name['name']}/eviction"
        return self._cluster.enter(
            *("kubectl", "create", f"--raw={path}", "--filename=-"), given=json.dumps(eviction)
        )

    @contextlib.contextmanager
    def watched(self) -> Iterator[Callable[[], dict[str, int]]]:
        """Watch the pods; gives what tells the exit codes of those that ended meanwhile."""
        log = self._daemon(
            *("kubectl", f"--namespace={self.namespace}", "get", "pods", "--watch"),
            "--selector=app.kubernetes.io/component=streamd",
            "--output=jsonpath={.metadata.name} "
            '{.status.containerStatuses[0].state.terminated.exitCode}{"\\n"}',
        )

        def ends() -> dict[str, int]:
            lines = (line.split() for line in log.read_text().splitlines())
            return {found[0]: int(found[1]) for found in lines if len(found) == 2}

        yield ends

    @contextlib.contextmanager
    def asked(self) -> Iterator[Callable[[], list[str]]]:
        """Ask by the Service ten times a second; gives what tells the answers."""
        service = self.service()["spec"]
        url = (
            f"{service['ports'][0]['name']}://{service['clusterIP']}:{service['ports'][0]['port']}"
        )
        ended = self._cluster.folder / f"{self.namespace}.ended"
        ask = f"curl -ks -m 5 -o /dev/null -w '%{{http_code}}%{{errormsg}}' {url}/readyz"
        log = self._daemon(
            "bash", "-c", f"while test ! -e {ended}; do echo $({ask}); sleep 0.1; done"
        )
        try:
            yield lambda: log.read_text().splitlines()
        finally:
            ended.touch()

    def _daemon(self, *command: str) -> Path:
        name = f"{self.namespace}-{command[0]}"
        self._cluster.start(name, *command)
        return self._cluster.folder / f"{name}.log"

    def service(self) -> dict[str, Any]:
        """Return the Service in front of all pods."""
        return self.get("service", self.name)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return an object of the namespace, or a list."""
        return self._cluster.get(f"--namespace={self.namespace}", *arguments)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace."""
        return self._cluster.kubectl(f"--namespace={self.namespace}", *arguments, seconds=180)

    def kubectl_anyway(self, *arguments: str) -> str:
        """Run kubectl in the namespace; returns what it says, however it ends."""
        done = self._cluster.enter("kubectl", f"--namespace={self.namespace}", *arguments)
        return done.stdout

    def _set(self, command: str, settings: dict[str, str]) -> str:
        return self._quietly(*self._command(command, settings, 300))

    def _command(self, command: str, settings: dict[str, str], seconds: int) -> list[str]:
        given = {**self._settings, **settings}
        values = [f"--set={key}={value}" for key, value in given.items()]
        waiting = ("--wait", "--wait-for-jobs", f"--timeout={seconds}s")
        return [command, self.name, str(CHART), *self._files, *values, *waiting]

    def _quietly(self, *command: str) -> str:
        done = self._run(list(command))
        said = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, f"{said}\n{self._story()}"
        # What the API server warns of, helm passes on.
        assert "warning" not in done.stderr.lower(), done.stderr
        return done.stdout

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return self._cluster.helm(f"--namespace={self.namespace}", *command, seconds=400)

    def _story(self) -> str:
        return "\n".join(
            self.kubectl(*each)
            for each in (
                ("get", "pods,jobs,pvc", "--output=wide"),
                ("events",),
                ("logs", "--selector=app.kubernetes.io/name=streamd", "--tail=20", "--prefix"),
            )
        )


@contextlib.contextmanager
def released(
    cluster: Cluster, surroundings: Surroundings, name: str, ci: str | None, **settings: str
) -> Iterator[Release]:
    """Give a namespace prepared for a file of ci/; what is in it goes with the block."""
    values = {}
    if ci is not None:
        values = yaml.safe_load((CHART / "ci" / f"{ci}-values.yaml").read_text())
    surroundings.namespace(name, values)
    try:
        yield Release(cluster, name, ci, **settings)
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_one_replica_is_upgraded_rolled_back_and_leaves_its_data(
    cluster: Cluster, surroundings: Surroundings
) -> None:
    """Probes, ``helm test``, the drain, the way back, and what an uninstallation leaves."""
    cluster.add_volumes("local-path", 1)
    with released(cluster, surroundings, "single", "single") as release:
        notes = release.install()
        for command in re.findall(r"^ +(kubectl .*(?:rollout|get|exec).*)$", notes, re.MULTILINE):
            if "doctor" not in command:  # it finds no camera there
                assert cluster.enter("bash", "-c", command).returncode == 0, command
        release.test()
        release.ask(0, "create_collection", CollectionId="people")
        first = release.pod(0)
        assert first["status"]["containerStatuses"][0]["restartCount"] == 0
        assert "can be read by others" not in release.kubectl("logs", "streamd-0")
        with release.watched() as ends:
            release.upgrade(**{"config.server.drain_seconds": "12"})
        assert ends() == {"streamd-0": 0}, "SIGTERM drains, and that is no error"
        assert release.pod(0)["metadata"]["uid"] != first["metadata"]["uid"]
        assert release.ask(0, "list_collections")["CollectionIds"] == ["people"]
        said = release.try_upgrade(20, **{"image.tag": "missing"})
        assert "deadline exceeded" in said
        release.rollback()
        assert release.pod(0)["spec"]["terminationGracePeriodSeconds"] == 5 + 12 + 15
        release.rollback(1)
        assert release.pod(0)["spec"]["terminationGracePeriodSeconds"] == 5 + 20 + 15
        assert release.ask(0, "list_collections")["CollectionIds"] == ["people"]
        release.test()
        release.uninstall()
        # The last pod drains after helm has gone.
        wait_until(lambda: "pod/streamd-0" not in release.objects(), seconds=60, what="its end")
        assert release.objects() == {"persistentvolumeclaim/data-streamd-0", "pod/streamd-test"}
        release.install()
        assert release.ask(0, "list_collections")["CollectionIds"] == ["people"]


def test_a_key_made_at_random_lasts(cluster: Cluster, surroundings: Surroundings) -> None:
    """The defaults alone, but for the size: an upgrade neither makes another key nor a new pod."""
    cluster.add_volumes("local-path", 1)
    with released(cluster, surroundings, "defaults", None) as release:
        release.install()
        release.test()
        key, uid = release.get("secret", "streamd-keys")["data"], release.ready()
        release.upgrade(**{"podDisruptionBudget.enabled": "false"})
        release.test()
        assert release.get("secret", "streamd-keys")["data"] == key
        assert release.ready() == uid


def test_replicas_are_replaced_without_a_request_lost(
    cluster: Cluster, surroundings: Surroundings
) -> None:
    """PostgreSQL, S3 and TLS as in ci/: the Job comes first, pods go one by one, others serve."""
    cluster.add_volumes("local-path", 3)
    surroundings.create_database("replicas")
    with released(
        cluster, surroundings, "replicas", "replicas", **{"postgresql.database": "replicas"}
    ) as release:
        said = release.fail("install", 90, **{
            "postgresql.database": "missing", "migrations.backoffLimit": "0",
        })  # fmt: skip
        assert "pre-install" in said
        assert not release.get("statefulsets")["items"], "a store that is not there stops all"
        release.uninstall()
        release.install()
        wait_until(lambda: len(release.ready()) == 3, seconds=120, what="three replicas")
        assert surroundings.query("SELECT count(*) FROM replicas", database="replicas") == "3\n"
        release.test()
        doctor = release.kubectl_anyway("exec", "streamd-1", "--", "streamd", "doctor", *SETTINGS)
        for line in (
            "store            postgresql answers",
            "archive          bucket video answers",
        ):
            assert f"✓ {line}" in doctor
        assert "(ready)" in doctor
        assert doctor.count("✓ replica ") == 3
        evict = [release.evict(0), release.evict(1)]
        assert [each.returncode for each in evict] == [0, 1]
        assert "disruption budget" in evict[1].stderr
        wait_until(lambda: len(release.ready()) == 3, seconds=60, what="three replicas again")
        with release.watched() as ends, release.asked() as answers:
            release.upgrade(**{"config.server.drain_seconds": "12"})
        assert ends() == {"streamd-0": 0, "streamd-1": 0, "streamd-2": 0}
        lost = [answer for answer in answers() if answer != "200"]
        assert not lost, f"{len(lost)} of {len(answers())} requests were lost: {lost[:3]}"
        assert len(answers()) > 50
        release.kubectl("delete", "pod", "streamd-0", "--wait=false")
        # One is away when it begins: it comes back with the new template, and nothing hangs.
        release.upgrade(**{"config.server.drain_seconds": "13"})
        said = release.try_upgrade(20, **{"image.tag": "missing", "migrations.backoffLimit": "0"})
        assert "pre-upgrade" in said
        assert len(release.ready()) == 3, "what cannot migrate replaces nobody"
        release.rollback()
        pods = release.ready()
        # As README.md says it, and the autoscaler's number is kept.
        release.kubectl("delete", "statefulset", "streamd", "--cascade=orphan")
        release.upgrade(**{"persistence.size": "60Gi"})
        release.upgrade(**{"autoscaling.enabled": "false", "replicaCount": "3"})
        release.upgrade(**{"autoscaling.enabled": "true"})
        assert release.ready() == pods, "no pod was replaced"


def test_hardened_replicas_start(cluster: Cluster, surroundings: Surroundings) -> None:
    """Own keys, certificate, account, classes; the store's URL from a Secret."""
    cluster.add_volumes("encrypted", 2)
    surroundings.create_database("hardened")
    settings = {"resources.limits.cpu": "1"}
    with released(cluster, surroundings, "hardened", "hardened", **settings) as release:
        release.install()
        release.test()
        assert len(release.ready()) == 2
        pod = release.pod(0)["spec"]
        assert (pod["runtimeClassName"], pod["priority"]) == ("gvisor", 1000)
        assert release.ask(0, "list_collections")["CollectionIds"] == []


@needs_shared[0]
@needs_shared[1]
def test_models_come_from_a_volume(cluster: Cluster, surroundings: Surroundings) -> None:
    """Without a way out: the init container copies from the claim, all by the image's digest."""
    cluster.add_volumes("local-path", 1)
    settings = {"image.repository": "video/streamd", "image.digest": cluster.digest(NAME)}
    cluster.tag_image(NAME, f"registry.example.com/video/streamd@{settings['image.digest']}")
    with released(cluster, surroundings, "air-gapped", "air-gapped", **settings) as release:
        surroundings.offer_models("air-gapped")
        release.install()
        release.test()
        assert "yunet-retail0095 is ready" in release.kubectl("logs", "streamd-0", "-c", "models")
        doctor = release.kubectl_anyway("exec", "streamd-0", "--", "streamd", "doctor", *SETTINGS)
        assert "✓ face pack        yunet-retail0095" in doctor


@needs_shared[0]
@needs_shared[1]
def test_a_gpu_is_asked_for(cluster: Cluster, surroundings: Surroundings) -> None:
    """The pod goes where the resource is, under the runtime class; the CPU does the work here."""
    cluster.add_volumes("local-path", 1)
    surroundings.pretend_gpu()
    settings = {
        "resources.limits.cpu": "1",
        "models.mirrorVolume.persistentVolumeClaim.claimName": "streamd-models",
    }
    with released(cluster, surroundings, "gpu", "gpu", **settings) as release:
        surroundings.offer_models("gpu")
        release.install()
        release.test()
        pod = release.pod(0)["spec"]
        assert pod["runtimeClassName"] == "nvidia"
        assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert cluster.get("node", NODE)["status"]["allocatable"]["nvidia.com/gpu"] == "1"

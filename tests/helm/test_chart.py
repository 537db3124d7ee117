"""What the chart renders, by real helm: valid, guarded, and settings that streamd itself takes."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from streamd.config import load_settings
from streamd.config_auth import read_credentials
from tests.services.fetched import ServiceUnavailableError
from tests.services.helm import helm
from tests.support.chart import CHART
from tests.support.kubernetes_schemas import faults
from tests.support.rendering import (
    EVERY,
    RELEASE,
    SNAPSHOT,
    Rendering,
    defaults_text,
    render,
    template,
)

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("real_helm")]

OLDEST, NEWEST = "1.30", "1.37"
OUTSIDE = {
    "streamd-db/username": "streamd",
    "streamd-db/password": "p@ss/word",
    "streamd-db-app/uri": "postgresql://streamd:secret@db:5432/streamd",
    "streamd-kafka/password": "secret",
    "streamd-s3/accesskey": "AKIDEXAMPLE",
    "streamd-s3/secretkey": "secret",
    "alerts/authorization": "Bearer secret",
}
"""What the Secrets hold that the files in ci/ refer to."""


def ci(name: str) -> Path:
    return CHART / "ci" / f"{name}-values.yaml"


@pytest.mark.parametrize("files", EVERY)
def test_lint_has_nothing_to_say(files: tuple[Path, ...]) -> None:
    """helm lint --strict passes."""
    done = helm("lint", "--strict", CHART, *(part for f in files for part in ("--values", f)))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kubernetes", [OLDEST, NEWEST])
@pytest.mark.parametrize("files", EVERY)
def test_every_object_fits_its_schema(files: tuple[Path, ...], kubernetes: str) -> None:
    """Kubernetes, from the oldest version promised, knows every field and type."""
    rendering = render(*files, kubernetes=kubernetes)
    assert len(rendering.objects) >= 8
    try:
        found = [fault for one in rendering.objects for fault in faults(one, kubernetes)]
    except ServiceUnavailableError as error:
        pytest.skip(str(error))
    assert found == []


def test_a_misspelt_field_would_be_found() -> None:
    """The schemas are strict: the test above can fail."""
    thing = render().one("StatefulSet")
    thing["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["periodSecond"] = 3
    assert "periodSecond" in " ".join(faults(thing, NEWEST))


def test_defaults_render_what_was_looked_at() -> None:
    """The snapshot holds what the defaults install; a difference is meant, or a mistake."""
    assert defaults_text() == SNAPSHOT.read_text(), "if it is meant: make chart"


@pytest.mark.parametrize("files", EVERY)
def test_streamd_takes_the_settings(
    files: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """streamd itself reads the rendered file with the environment of the pod."""
    rendering = render(*files)
    config = tmp_path / "streamd.toml"
    config.write_text(rendering.toml())
    container = rendering.replica()["containers"][0]
    for name, value in rendering.environment(container, OUTSIDE).items():
        monkeypatch.setenv(name, value)
    settings = load_settings(config)
    assert settings.auth.mode == "sigv4"
    assert settings.auth.credentials_file is not None
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 8700)  # noqa: S104
    if any(o["metadata"]["name"] == "streamd-keys" for o in rendering.all("Secret")):
        keys = tmp_path / "credentials.json"
        keys.write_text(rendering.secret("streamd-keys", "credentials.json"))
        assert read_credentials(keys)


def test_single_replica_has_its_cameras_and_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera's settings are in the file, its URL in a Secret; both arrive as one camera."""
    rendering = render(ci("single"))
    assert "change-me" not in rendering.toml()
    config = tmp_path / "streamd.toml"
    config.write_text(rendering.toml())
    for name, value in rendering.environment(rendering.replica()["containers"][0], {}).items():
        monkeypatch.setenv(name, value)
    settings = load_settings(config)
    camera = settings.cameras["front-door"]
    assert camera.url.get_secret_value() == "rtsp://user:change-me@camera.example.com/stream1"
    assert (camera.retention_hours, camera.audio) == (48, True)
    assert settings.server.public_url == "https://streamd.example.com"
    assert settings.server.replica_url is None
    keys = tmp_path / "credentials.json"
    keys.write_text(rendering.secret("streamd-keys", "credentials.json"))
    viewer = read_credentials(keys)[1]
    assert viewer.allow == ("rekognition:List*", "rekognition:Describe*")


def test_replicas_know_their_addresses_and_share_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each replica is told its own URL, the store without a password, and its share of the cores."""
    rendering = render(ci("replicas"))
    config = tmp_path / "streamd.toml"
    config.write_text(rendering.toml())
    environment = rendering.environment(rendering.replica()["containers"][0], OUTSIDE)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(config)
    assert settings.server.replica_url == "https://video-1.example.com"
    assert settings.store.url is not None
    assert settings.store.url.startswith("postgresql://db-rw.databases.svc:5432/streamd?")
    assert (environment["PGUSER"], environment["PGPASSWORD"]) == ("streamd", "p@ss/word")
    assert settings.kinesis_video.max_archive_bytes == 20 * 1024**3
    # 3.5 cores asked for: one worker of three threads.
    assert (settings.server.workers, settings.analysis.threads) == (1, 3)
    assert settings.kafka.ssl_cafile == Path("/etc/streamd/files/kafka/ssl_cafile")
    assert "replicas" not in rendering.one("StatefulSet")["spec"], "the autoscaler counts"
    assert rendering.one("HorizontalPodAutoscaler")["spec"]["minReplicas"] == 3


def test_replicas_are_found_by_their_names_in_the_cluster() -> None:
    """Without hosts of their own, replicas are named by the headless Service."""
    rendering = render(sets=["replicaCount=3", "postgresql.host=db"])
    environment = rendering.environment(rendering.replica()["containers"][0], {})
    assert environment["STREAMD_SERVER__REPLICA_URL"] == (
        "http://streamd-1.streamd-replicas.video.svc.cluster.local:8700"
    )
    service = rendering.one("Service", "streamd-replicas")
    assert rendering.one("StatefulSet")["spec"]["serviceName"] == "streamd-replicas"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True


@pytest.mark.parametrize("files", EVERY)
def test_pods_are_restricted(files: tuple[Path, ...]) -> None:
    """Every container is what Kubernetes' restricted profile asks for, and read-only."""
    pods = render(*files).pods()
    assert len(pods) >= 2
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        # A Service named streamd would make variables that streamd refuses.
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            guarded = container["securityContext"]
            assert guarded["readOnlyRootFilesystem"] is True
            assert guarded["allowPrivilegeEscalation"] is False
            assert guarded["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]
            assert "/tmp" in {m["mountPath"] for m in container["volumeMounts"]}  # noqa: S108
        kinds = {kind for volume in pod["volumes"] for kind in volume} - {"name"}
        assert "hostPath" not in kinds


@pytest.mark.parametrize("files", EVERY)
def test_every_mount_has_its_volume(files: tuple[Path, ...]) -> None:
    """Volumes and mounts belong together, by their names."""
    rendering = render(*files)
    claims = rendering.one("StatefulSet")["spec"].get("volumeClaimTemplates", ())
    for pod in rendering.pods():
        names = [volume["name"] for volume in pod["volumes"]]
        names += [claim["metadata"]["name"] for claim in claims if pod is rendering.replica()]
        mounted = {
            mount["name"]
            for container in (*pod.get("initContainers", ()), *pod["containers"])
            for mount in container["volumeMounts"]
        }
        assert len(names) == len(set(names))
        assert mounted == set(names)


@pytest.mark.parametrize("files", EVERY)
def test_grace_period_is_longer_than_the_drain(files: tuple[Path, ...]) -> None:
    """A pod is killed only after its sessions had their time, and the balancers theirs."""
    rendering = render(*files)
    match = re.search(r"drain_seconds = ([0-9.]+)", rendering.toml())
    assert match is not None
    pod = rendering.replica()
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= float(match[1]) + pause + 10


def test_probes_ask_what_the_daemon_answers() -> None:
    """Start and life go by /healthz, readiness by /readyz; with TLS they speak it."""
    probes = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for files, scheme in (((), "HTTP"), ((ci("hardened"),), "HTTPS")):
        container = render(*files).replica()["containers"][0]
        asked = {name: container[name]["httpGet"] for name in probes}
        assert asked == {
            name: {"path": path, "port": "http", "scheme": scheme} for name, path in probes.items()
        }


def test_gpu_is_asked_for_and_used(tmp_path: Path) -> None:
    """The pod asks for a GPU and its runtime, takes the CUDA image, and streamd prefers CUDA."""
    rendering = render(ci("gpu"))
    pod = rendering.replica()
    container = pod["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert (pod["runtimeClassName"], container["image"]) == ("nvidia", "streamd:0.1.0-cuda")
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    config = tmp_path / "streamd.toml"
    config.write_text(rendering.toml())
    settings = load_settings(config)
    assert settings.models.providers == ("cuda", "cpu")
    assert (settings.server.workers, settings.analysis.threads) == (2, 2)
    assert pod["initContainers"][0]["args"] == [
        "models",
        "pull",
        "--config=/etc/streamd/config/streamd.toml",
        "yunet-retail0095",
        "nanodet-plus-m",
    ]


def test_air_gapped_pods_get_all_from_inside(tmp_path: Path) -> None:
    """Image, packs and authorities are the site's, and there is no other way out."""
    rendering = render(ci("air-gapped"))
    for pod in rendering.pods():
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            assert container["image"].startswith("registry.internal.example.com/video/streamd@sha")
    config = tmp_path / "streamd.toml"
    config.write_text(rendering.toml())
    assert 'mirror = "/mirror"' in rendering.toml()
    init = rendering.replica()["initContainers"][0]
    assert {"name": "mirror", "mountPath": "/mirror", "readOnly": True} in init["volumeMounts"]
    policy = rendering.one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [rule.get("to") for rule in policy["egress"]][-1] == [
        {"ipBlock": {"cidr": "10.0.0.0/8"}}
    ]


def test_migration_comes_first_and_needs_nothing_of_the_chart() -> None:
    """The Job is a hook that only uses what is there before the chart is."""
    assert render().all("Job") == [], "SQLite is migrated by its own pod"
    for values, secrets in (
        ([], {"streamd-db"}),
        (
            [
                "postgresql.host=",
                "postgresql.caSecret=",
                "secrets.store.url.value=postgresql://h/d",
            ],
            {"streamd-migrate"},
        ),
    ):
        rendering = render(ci("replicas"), sets=values)
        job = rendering.one("Job")
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        pod = job["spec"]["template"]["spec"]
        assert pod["containers"][0]["args"] == ["migrate"]
        assert "serviceAccountName" not in pod
        used = {
            variable["valueFrom"]["secretKeyRef"]["name"]
            for variable in pod["containers"][0]["env"]
            if "valueFrom" in variable
        }
        assert used == secrets
        hooks = {o["metadata"]["name"] for o in rendering.all("Secret") if _is_hook(o)}
        own = {o["metadata"]["name"] for o in rendering.all("Secret")}
        assert used & own <= hooks


def _is_hook(thing: dict[str, Any]) -> bool:
    return "helm.sh/hook" in thing["metadata"].get("annotations", {})


def test_upgrades_change_nothing_that_cannot_be_changed() -> None:
    """Selectors and claims stay as they are when versions and labels of the user change."""
    before = render().one("StatefulSet")["spec"]
    after = render(sets=["commonLabels.team=video", "image.tag=next", "nodeSelector.a=b"])
    changed = after.one("StatefulSet")["spec"]
    for part in ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"):
        assert changed[part] == before[part]
    assert "0.1.0" not in str(before["volumeClaimTemplates"])


def test_a_rolling_update_names_its_partition() -> None:
    """Kubernetes adds none of its own, and without one makes old pods again; OnDelete has none."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert render().one("StatefulSet")["spec"]["updateStrategy"] == rolling
    chosen = render(sets=["updateStrategy.rollingUpdate.partition=2"]).one("StatefulSet")
    assert chosen["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 2}
    by_hand = render(sets=["updateStrategy.type=OnDelete"]).one("StatefulSet")
    assert by_hand["spec"]["updateStrategy"] == {"type": "OnDelete"}


def test_pods_are_replaced_when_settings_change() -> None:
    """A change of the settings, or of a secret given as a value, changes the pod."""
    seen = [
        _annotations(render(sets=sets))
        for sets in (
            [],
            ["config.analysis.fps=3"],
            ["secrets.kafka.sasl_password.value=a"],
            ["secrets.kafka.sasl_password.value=b"],
        )
    ]
    assert len({tuple(sorted(one.items())) for one in seen}) == 4
    again = template(sets=[])
    assert _annotations(Rendering(again.stdout)) == seen[0], "a key made at random replaces none"


def _annotations(rendering: Rendering) -> dict[str, str]:
    found: dict[str, str] = rendering.one("StatefulSet")["spec"]["template"]["metadata"][
        "annotations"
    ]
    return found


def test_alerts_are_those_of_deploy() -> None:
    """The PrometheusRule holds the rules of deploy/prometheus, less those switched off."""
    rules = sorted((CHART / "files" / "prometheus").glob("*.yml"))
    if not rules:
        pytest.skip("deploy/prometheus has no rules")
    text = "".join(path.read_text() for path in rules)
    alerts = re.findall(r"alert: *(\w+)", text)
    rendering = render(
        sets=[
            "prometheusRule.enabled=true",
            f"prometheusRule.disabled={{{alerts[0]}}}",
            "prometheusRule.alertLabels.team=video",
            "prometheusRule.runbookUrlPrefix=https://git.example.com/streamd/blob/main/",
        ]
    )
    found = [
        rule
        for group in rendering.one("PrometheusRule")["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert [rule["alert"] for rule in found] == alerts[1:]
    assert {rule["labels"]["team"] for rule in found} == {"video"}
    assert [rule["annotations"]["runbook_url"] for rule in found] == [
        f"https://git.example.com/streamd/blob/main/deploy/OPERATIONS.md#{name.lower()}"
        for name in alerts[1:]
    ]


def test_a_runbook_is_a_path_unless_it_is_said_where() -> None:
    """Without a prefix the rules are as they are in deploy/prometheus."""
    rules = render(sets=["prometheusRule.enabled=true"]).one("PrometheusRule")["spec"]["groups"]
    urls = [r["annotations"]["runbook_url"] for g in rules for r in g["rules"] if "alert" in r]
    assert urls
    assert all(url.startswith("deploy/OPERATIONS.md#") for url in urls)


def test_monitoring_scrapes_every_replica_once() -> None:
    """The ServiceMonitor selects the headless Service alone."""
    rendering = render(ci("replicas"))
    wanted = rendering.one("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    selected = [
        o["metadata"]["name"]
        for o in rendering.all("Service")
        if wanted <= o["metadata"]["labels"].items()
    ]
    assert selected == ["streamd-replicas"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["replicas=2"], "additional properties 'replicas' not allowed"),
        (["config.server.lissten=x"], "additional properties 'lissten' not allowed"),
        (["config.server.listen=0.0.0.0:80"], "additional properties 'listen' not allowed"),
        (["config.kafka.sasl_password=x"], "additional properties 'sasl_password' not allowed"),
        (["config.analysis.fps=fast"], "got string, want number"),
        (["config.analysis.fps=61"], "maximum: got 61, want 60"),
        (["config.server.workers=many"], "got string, want integer"),
        (["config.outputs.kinesis=rabbitmq"], "value must be one of 'local', 'kafka', 'kinesis'"),
        (["config.cameras.Front.audio=true"], "does not match pattern"),
        (["secrets.kafka.sasl_password=x"], "got string, want object"),
        (["secrets.kafka.sasl_password.existingSecret=x"], "missing property 'key'"),
        (["secrets.kafka.bootstrap_servers.value=x"], "'bootstrap_servers' not allowed"),
        (["auth.credentials[0].access_key_id=AKIDEXAMPLE"], "'secret_access_key'"),
        (["image.digest=latest"], "does not match pattern"),
        (["persistence.size=50"], "got number, want string"),
        (["resources.limit.cpu=1"], "additional properties 'limit' not allowed"),
        (["replicaCount=2"], "several replicas share a PostgreSQL store"),
        (["replicaCount=2", "postgresql.host=d", "persistence.existingClaim=c"], "existingClaim"),
        (["postgresql.host=d", "config.store.url=postgresql://e/f"], "named twice"),
        (["terminationGracePeriodSeconds=25"], "must be more than preStopSeconds"),
        (["tls.enabled=true"], "tls.enabled needs"),
        (["ingress.enabled=true"], "ingress.enabled needs ingress.host"),
        (["models.pull={a}", "models.volume.emptyDir.medium=Memory"], "leave models.pull empty"),
        (["config.kinesis_video.archive=s3"], "needs config.kinesis_video.archive_bucket"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_mistakes_are_refused_before_anything_is_installed(values: list[str], said: str) -> None:
    """A wrong name, type, bound or combination ends with a message that names it."""
    done = template(sets=values)
    assert done.returncode != 0
    assert said in done.stderr


def test_older_clusters_are_refused() -> None:
    """The chart says which Kubernetes it needs."""
    done = template(kubernetes="1.29")
    assert done.returncode != 0
    assert "incompatible with Kubernetes v1.29" in done.stderr


def test_names_fit_whatever_the_release_is_called() -> None:
    """Names of objects stay within 63 characters, with what Kubernetes adds."""
    done = helm("template", "a" * 53, CHART)
    assert done.returncode == 0, done.stderr
    rendering = Rendering(done.stdout)
    assert max(len(o["metadata"]["name"]) for o in rendering.objects) <= 63
    # A revision of a StatefulSet is a label: its name and eleven more.
    assert len(rendering.one("StatefulSet")["metadata"]["name"]) + 11 <= 63


def test_package_holds_what_it_needs_and_no_more(tmp_path: Path) -> None:
    """A packaged chart renders the same as the folder, and leaves ci/ out."""
    done = helm("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    package = tmp_path / "streamd-0.1.0.tgz"
    shown = helm("template", RELEASE, package, "--namespace", "video")
    assert shown.returncode == 0, shown.stderr
    assert len(Rendering(shown.stdout).objects) == len(render().objects)
    with tarfile.open(package) as archive:
        names = archive.getnames()
    assert "streamd/values.schema.json" in names
    assert not [name for name in names if "/ci/" in name]

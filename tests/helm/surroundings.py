"""What the values in ci/ take for granted of a cluster: names of Secrets, classes, servers.

The servers are real: PostgreSQL with TLS and passwords, and an S3 server, both on the node, reached
as Services. Kafka's brokers and webhooks are names that nobody answers to. A RuntimeClass is a
second name of the ordinary runtime, and a GPU is a number that the node was told to have.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.services.helm import CRD_GROUPS, crd_folder
from tests.services.kubernetes.cluster import NODE, NODE_ADDRESS, Cluster
from tests.services.s3 import ACCESS_KEY, SECRET_KEY, server_program
from tests.support.certificates import Authority
from tests.support.daemon import wait_until
from tests.support.postgresql import ServerMissingError, server_programs
from tests.support.shared import MODELS

__all__ = ["KEY", "PASSWORD", "Surroundings"]

KEY = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "change-me"}
PASSWORD = "p@ss/word"
_DATABASE_HOST, _BUCKET_HOST = "db-rw.databases.svc", "minio.storage.svc"
_RESTRICTED = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")
}


class Surroundings:
    """The cluster as a site has prepared it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._authority = Authority()

    def prepare(self) -> None:
        """Make what all namespaces share."""
        for group in sorted(CRD_GROUPS):
            folder = str(crd_folder(group))
            self._cluster.kubectl("apply", "--server-side", f"--filename={folder}", seconds=120)
        for name in ("local-path", "encrypted", "models"):
            self._cluster.apply(_storage_class(name, is_default=name == "local-path"))
        for name in ("gvisor", "nvidia"):
            self._cluster.apply(
                {
                    **_meta("node.k8s.io/v1", "RuntimeClass", name),
                    "handler": "runc",
                }
            )
        self._cluster.apply(
            {**_meta("scheduling.k8s.io/v1", "PriorityClass", "production"), "value": 1000}
        )

    def namespace(self, name: str, values: dict[str, Any]) -> None:
        """Make a namespace that lets only restricted pods in, with what values name there."""
        named = set(_texts(values))
        if values.get("tls"):
            # cert-manager would make it.
            named.add("streamd-tls")
        namespace = _meta("v1", "Namespace", name)
        namespace["metadata"]["labels"] = _RESTRICTED
        self._cluster.apply(namespace)
        certificate, key = self._authority.issue(
            "streamd",
            *(f"{one}{name}.svc{domain}" for one in ("streamd.", "*.streamd-replicas.")
              for domain in ("", ".cluster.local")),
            *(f"video-{number}.example.com" for number in range(6)),
        )  # fmt: skip
        ca = self._authority.certificate
        credentials = json.dumps({"credentials": [KEY]})
        login = "[[credentials]]\n" + "".join(f'{k} = "{v}"\n' for k, v in KEY.items())
        uri = (
            f"postgresql://streamd:{PASSWORD.replace('@', '%40').replace('/', '%2F')}"
            f"@{_DATABASE_HOST}:5432/{name}?sslmode=require"
        )
        for secret, data in {
            "streamd-db": {"username": "streamd", "password": PASSWORD},
            "streamd-db-app": {"uri": uri},
            "streamd-keys": {"credentials.json": credentials, "credentials.toml": login},
            "streamd-kafka": {"password": "secret"},
            "streamd-s3": {"accesskey": ACCESS_KEY, "secretkey": SECRET_KEY},
            "events-cluster-ca-cert": {"ca.crt": ca},
            "db-ca": {"ca.crt": ca},
            "internal-ca": {"ca.crt": ca},
            "alerts": {"authorization": "Bearer secret"},
            "streamd-tls": {"tls.crt": certificate, "tls.key": key, "ca.crt": ca},
            "registry": {".dockerconfigjson": '{"auths": {}}'},
        }.items():
            if secret not in named:
                continue
            kinds = {
                "streamd-tls": "kubernetes.io/tls",
                "registry": "kubernetes.io/dockerconfigjson",
            }
            self._cluster.apply(
                {
                    **_meta("v1", "Secret", secret, name),
                    "type": kinds.get(secret, "Opaque"),
                    "stringData": data,
                }
            )
        self._cluster.apply(
            {**_meta("v1", "ConfigMap", "internal-cas", name), "data": {"ca.crt": ca}}
        )
        if not values.get("serviceAccount", {}).get("create", True):
            account = values["serviceAccount"]["name"]
            self._cluster.apply(_meta("v1", "ServiceAccount", account, name))

    def start_database(self) -> None:
        """Run PostgreSQL on the node, with TLS and a password, at the address ci/ has.

        Raises:
            ServerMissingError: If it is not installed.

        """
        programs, user = server_programs(), pwd.getpwnam("postgres")
        folder = self._cluster.folder / "postgresql"
        folder.mkdir()
        certificate, key = self._authority.issue(_DATABASE_HOST)
        for name, text in (("tls.crt", certificate), ("tls.key", key), ("password", PASSWORD)):
            path = folder / name
            path.write_text(text)
            path.chmod(0o600)
            os.chown(path, user.pw_uid, user.pw_gid)
        os.chown(folder, user.pw_uid, user.pw_gid)
        be = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
        made = subprocess.run(
            [*be, programs / "initdb", f"--pgdata={folder / 'data'}", "--username=streamd",
             f"--pwfile={folder / 'password'}", "--auth-local=trust", "--auth-host=scram-sha-256",
             "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"],
            capture_output=True, text=True, cwd="/", timeout=60, check=False,
        )  # fmt: skip
        if made.returncode:
            raise ServerMissingError(f"initdb failed: {made.stderr[-500:]}")
        with (folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("hostssl all all 0.0.0.0/0 scram-sha-256\n")
        self._cluster.start(
            *("postgresql", *be, programs / "postgres", "-D", folder / "data"),
            *("-c", f"listen_addresses={NODE_ADDRESS}", "-c", f"unix_socket_directories={folder}"),
            *("-c", "ssl=on", "-c", f"ssl_cert_file={folder / 'tls.crt'}"),
            *("-c", f"ssl_key_file={folder / 'tls.key'}", "-c", "fsync=off"),
        )
        self._offer(_DATABASE_HOST, 5432, 5432)

    def create_database(self, name: str) -> None:
        """Make a database on it."""
        self.query(f'CREATE DATABASE "{name}"', database="postgres")

    def query(self, statement: str, *, database: str) -> str:
        """Ask the server as its owner; waits until it answers."""
        folder = self._cluster.folder / "postgresql"
        command = (
            *("psql", f"--host={folder}", "--username=streamd", f"--dbname={database}"),
            *("--no-align", "--tuples-only", f"--command={statement}"),
        )
        wait_until(
            lambda: self._cluster.enter("pg_isready", f"--host={folder}").returncode == 0,
            seconds=30,
            what="postgresql",
        )
        done = self._cluster.enter(*command)
        assert done.returncode == 0, done.stderr + self._cluster.log("postgresql")
        return done.stdout

    def start_bucket(self) -> None:
        """Run an S3 server with the bucket of ci/ on the node, at the address ci/ has."""
        folder = self._cluster.folder / "s3"
        for name in ("accounts", "meta", "buckets/video"):
            (folder / name).mkdir(parents=True)
        self._cluster.start(
            *("s3", server_program(), "--port", f"{NODE_ADDRESS}:9001", "--region", "us-east-1"),
            *("--access", ACCESS_KEY, "--secret", SECRET_KEY, "--iam-dir", folder / "accounts"),
            *("--quiet", "posix", "--sidecar", folder / "meta", folder / "buckets"),
        )
        self._offer(_BUCKET_HOST, 9000, 9001)

    def offer_models(self, namespace: str) -> None:
        """Make the claim ``streamd-models`` of a volume with the files of model packs."""
        self._cluster.add_volumes("models", 1, files=MODELS)
        self._cluster.apply(
            {
                **_meta("v1", "PersistentVolumeClaim", "streamd-models", namespace),
                "spec": {
                    "accessModes": ["ReadOnlyMany"],
                    "storageClassName": "models",
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }
        )

    def pretend_gpu(self) -> None:
        """Let the node say that it has a GPU."""
        self._cluster.kubectl("label", "node", NODE, "nvidia.com/gpu.present=true")
        self._cluster.kubectl(
            *("patch", "node", NODE, "--subresource=status", "--type=merge"),
            '--patch={"status": {"capacity": {"nvidia.com/gpu": "1"}}}',
        )

    def _offer(self, host: str, port: int, real: int) -> None:
        """Make a Service whose endpoint is a server on the node."""
        name, namespace, _ = host.split(".")
        endpoints = _meta("discovery.k8s.io/v1", "EndpointSlice", name, namespace)
        endpoints["metadata"]["labels"] = {"kubernetes.io/service-name": name}
        self._cluster.apply(
            _meta("v1", "Namespace", namespace),
            {**_meta("v1", "Service", name, namespace), "spec": {"ports": [{"port": port}]}},
            {
                **endpoints,
                "addressType": "IPv4",
                "ports": [{"port": real}],
                "endpoints": [{"addresses": [NODE_ADDRESS]}],
            },
        )


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, (dict, list)):
        for each in values.values() if isinstance(values, dict) else values:
            yield from _texts(each)


def _meta(api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _storage_class(name: str, *, is_default: bool) -> dict[str, Any]:
    made = _meta("storage.k8s.io/v1", "StorageClass", name)
    if is_default:
        made["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        **made,
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }

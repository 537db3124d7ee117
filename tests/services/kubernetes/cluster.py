"""A Kubernetes cluster of one node that runs containers, alone in namespaces of its own.

etcd, the API server, its controllers, the scheduler, CoreDNS, kube-proxy, the kubelet and
containerd run as processes of one process namespace with a network, mounts and control groups of
their own, so that nothing of them stays behind and nothing outside is touched. Pods reach each
other, Services and the node, nothing else: there is no way out. Volumes are made by hand
(:meth:`Cluster.add_volumes`), as local ones are; NetworkPolicies are accepted, not enforced.

It needs root; a sandbox that only looks like one will do: where ``CAP_SYS_RESOURCE`` is missing,
what wants it is left out, as in rootless Kubernetes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.services.fetched import ServiceUnavailableError
from tests.services.helm import helm_program
from tests.services.kubernetes.programs import CNI, kubernetes_programs, oci_runtime
from tests.support.daemon import wait_until

__all__ = ["NODE", "NODE_ADDRESS", "Cluster", "running_cluster"]

NODE, NODE_ADDRESS = "node", "10.99.0.1"
PODS, SERVICES = "10.98.0.0/16", "10.97.0.0/16"
START_SECONDS = 90.0
_SERVER = f"https://{NODE_ADDRESS}:6443"
# Who they are: the API server has rights for each by name.
_USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}
_PAUSE = "localhost/pause:1"
# The first process of the namespaces is this shell; it goes on to start what it reads.
_INSIDE = f"""
mount --make-rshared /
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -p /var/lib/kubelet && mount -t tmpfs tmpfs /var/lib/kubelet
hostname {NODE}
if test "$(cut -d: -f1 /proc/self/cgroup)" = 0; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir /sys/fs/cgroup/daemons && echo 0 > /sys/fs/cgroup/daemons/cgroup.procs
  for each in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo +$each > /sys/fs/cgroup/cgroup.subtree_control
  done
else
  mount -t tmpfs tmpfs /sys/fs/cgroup
  for each in $(cut -d: -f2 /proc/self/cgroup); do
    mkdir /sys/fs/cgroup/${{each#name=}}
    mount -t cgroup -o $each cgroup /sys/fs/cgroup/${{each#name=}}
  done
fi
ip link set lo up
ip link add uplink type veth peer name nowhere
ip addr add {NODE_ADDRESS}/24 dev uplink
ip link set uplink up && ip link set nowhere up
ip route add default via 10.99.0.254 dev uplink
sysctl -q -w net.ipv4.ip_forward=1
echo inside
"""
# Control groups of version 2 want one that is empty of other processes to divide.
_OUTSIDE = """
if test "$(cut -d: -f1 /proc/self/cgroup)" = 0; then
  mkdir -p /sys/fs/cgroup/streamd-kubernetes && echo 0 > /sys/fs/cgroup/streamd-kubernetes/cgroup.procs
fi
exec unshare --mount --mount-proc --net --pid --fork --kill-child --cgroup --ipc --uts bash
"""


class Cluster:
    """A cluster while it runs; see :func:`running_cluster`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = kubernetes_programs()
        self._runtime = oci_runtime()
        self._shell: subprocess.Popen[str] | None = None
        self._volumes = 0

    def kubectl(self, *arguments: str, given: str | None = None, seconds: float = 60.0) -> str:
        """Run kubectl as the cluster's administrator; returns what it says, fails if it fails."""
        done = self.enter("kubectl", *arguments, given=given, seconds=seconds)
        assert done.returncode == 0, f"kubectl {shlex.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return an object, or a list of them in ``items``."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return found

    def apply(self, *objects: dict[str, Any]) -> None:
        """Make objects, or change them."""
        self.kubectl("apply", "--server-side", "--filename=-", given=yaml.safe_dump_all(objects))

    def helm(
        self, *arguments: str | Path, seconds: float = 300.0
    ) -> subprocess.CompletedProcess[str]:
        """Run helm against the cluster."""
        return self.enter(str(helm_program()), *map(str, arguments), seconds=seconds)

    def add_volumes(self, storage_class: str, number: int, *, files: Path | None = None) -> None:
        """Offer local volumes of a class, empty or with a copy of a folder's files."""
        for _ in range(number):
            name = f"{storage_class}-{self._volumes}"
            self._volumes += 1
            path = self.folder / "volumes" / name
            if files is None:
                path.mkdir(parents=True)
            else:
                shutil.copytree(files, path)
            here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
            self.apply(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {"name": name},
                    "spec": {
                        "capacity": {"storage": "100Gi"},
                        "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                        "storageClassName": storage_class,
                        "persistentVolumeReclaimPolicy": "Retain",
                        "local": {"path": str(path)},
                        "nodeAffinity": {
                            "required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}
                        },
                    },
                }
            )

    def load_image(self, archive: Path) -> None:
        """Give the node an image, from an archive as ``docker save`` writes it."""
        done = self.enter(
            "ctr", "--namespace=k8s.io", "images", "import", str(archive), seconds=300
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def tag_image(self, name: str, also: str) -> None:
        """Give an image of the node a second name."""
        done = self.enter("ctr", "--namespace=k8s.io", "images", "tag", "--force", name, also)
        assert done.returncode == 0, done.stdout + done.stderr

    def digest(self, name: str) -> str:
        """Return the digest of an image of the node."""
        done = self.enter("ctr", "--namespace=k8s.io", "images", "list", f"name=={name}")
        return next(word for word in done.stdout.split() if word.startswith("sha256:"))

    def start(self, name: str, *command: str | Path) -> None:
        """Run a daemon on the node, beside the containers; it ends with the cluster."""
        log = shlex.quote(str(self.folder / f"{name}.log"))
        line = shlex.join(map(str, command))
        self._tell(f"{line} > {log} 2>&1 < /dev/null &\n")

    def enter(
        self, *command: str, given: str | None = None, seconds: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the node."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return subprocess.run(
            ["nsenter", f"--target={children[0]}", "--mount", "--net", "--pid", "--", *command],
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def log(self, name: str) -> str:
        """The end of what a daemon has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    @property
    def _pid(self) -> int:
        assert self._shell is not None
        return self._shell.pid

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "PATH": f"{self._programs}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "KUBECONFIG": str(self.folder / "admin.yaml"),
        }

    @contextlib.contextmanager
    def running(self) -> Iterator[Cluster]:
        """Run while the block does."""
        self._write_settings()
        with (self.folder / "inside.log").open("w") as log:
            self._shell = subprocess.Popen(
                ["bash", "-e", "-c", _OUTSIDE],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            self._start()
            yield self
        finally:
            self._shell.kill()
            self._shell.communicate(timeout=120)
            self._shell = None

    def _start(self) -> None:
        self._tell(f"set -e\n{_INSIDE}\nset +e\n")
        self._wait("namespaces", lambda: self.log("inside").endswith("inside\n"))
        folder = self.folder
        self.start(
            *("etcd", "etcd", f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync"),
            "--log-level=warn",
        )
        self.start(
            *("kube-apiserver", "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379"),
            *(f"--cert-dir={folder / 'certificates'}", f"--advertise-address={NODE_ADDRESS}"),
            *(f"--service-cluster-ip-range={SERVICES}", "--authorization-mode=Node,RBAC"),
            *(f"--token-auth-file={folder / 'tokens.csv'}", "--allow-privileged"),
            *("--enable-admission-plugins=NodeRestriction", f"--service-account-issuer={_SERVER}"),
            f"--service-account-signing-key-file={folder / 'accounts.pem'}",
            f"--service-account-key-file={folder / 'accounts.pem'}",
            "--kubelet-preferred-address-types=InternalIP",
        )
        self._wait("kube-apiserver", self._api_is_ready)
        self.start(
            *(
                "kube-controller-manager",
                "kube-controller-manager",
                *self._as("kube-controller-manager"),
            ),
            *("--use-service-account-credentials", "--leader-elect=false"),
            f"--service-account-private-key-file={folder / 'accounts.pem'}",
            f"--root-ca-file={folder / 'certificates' / 'apiserver.crt'}",
        )
        self.start(
            *("kube-scheduler", "kube-scheduler", *self._as("kube-scheduler")),
            "--leader-elect=false",
        )
        self.start("containerd", "containerd", f"--config={folder / 'containerd.toml'}")
        self.start("coredns", "coredns", f"-conf={folder / 'Corefile'}")
        self._wait("containerd", lambda: self.enter("ctr", "version").returncode == 0)
        _write_pause(folder / "pause.tar", self._programs / "pause")
        self.load_image(folder / "pause.tar")
        self.start(
            *(
                "kubelet",
                "kubelet",
                *self._as("kubelet"),
                f"--config={folder / 'kubelet-settings.yaml'}",
            ),
            *(f"--root-dir={folder / 'kubelet'}", f"--hostname-override={NODE}"),
            *(f"--node-ip={NODE_ADDRESS}", f"--cert-dir={folder / 'kubelet-certificates'}"),
        )
        self.start(
            *("kube-proxy", "kube-proxy", *self._as("kube-proxy"), "--proxy-mode=nftables"),
            *(f"--hostname-override={NODE}", f"--cluster-cidr={PODS}"),
            *("--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0"),
            "--conntrack-tcp-timeout-close-wait=0",
        )
        self._wait("kubelet", self._node_is_ready)

    def _tell(self, commands: str) -> None:
        assert self._shell is not None
        assert self._shell.stdin is not None
        self._shell.stdin.write(commands)
        self._shell.stdin.flush()

    def _as(self, user: str) -> tuple[str, ...]:
        return (f"--kubeconfig={self.folder / f'{user}.yaml'}",)

    def _wait(self, name: str, is_there: Callable[[], bool]) -> None:
        try:
            wait_until(is_there, seconds=START_SECONDS, what=name)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log('inside')}\n{self.log(name)}") from None

    def _api_is_ready(self) -> bool:
        return self.enter("kubectl", "get", "--raw=/readyz").returncode == 0

    def _node_is_ready(self) -> bool:
        done = self.enter(
            *("kubectl", "wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=1s")
        )
        return done.returncode == 0

    def _write_settings(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self.folder / "accounts.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        tokens = []
        for name, (user, group) in _USERS.items():
            token = secrets.token_hex(16)
            tokens.append(f'{token},{user},{user},"{group}"\n')
            (self.folder / f"{name}.yaml").write_text(_kubeconfig(token))
        (self.folder / "tokens.csv").write_text("".join(tokens))
        (self.folder / "resolv.conf").write_text("")
        network = {
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "ptp",
                    "ipam": {
                        "type": "host-local",
                        "dataDir": "/run/cni",
                        "subnet": PODS,
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }
        (self.folder / "cni").mkdir()
        (self.folder / "cni" / "10-pods.conflist").write_text(json.dumps(network))
        (self.folder / "Corefile").write_text(
            textwrap.dedent(f"""\
                cluster.local in-addr.arpa {{
                    bind {NODE_ADDRESS}
                    errors
                    kubernetes {{
                        kubeconfig {self.folder / "admin.yaml"}
                    }}
                    cache 5
                }}
                . {{
                    bind {NODE_ADDRESS}
                    template ANY ANY {{
                        rcode NXDOMAIN
                    }}
                }}
                """)
        )
        (self.folder / "kubelet-settings.yaml").write_text(yaml.safe_dump(self._kubelet()))
        (self.folder / "containerd.toml").write_text(self._containerd())

    def _kubelet(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [NODE_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self.folder / "resolv.conf"),
            "seccompDefault": True,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
            # Without CAP_SYS_RESOURCE no process is made less likely to be killed.
            "featureGates": {"KubeletInUserNamespace": True},
        }

    def _containerd(self) -> str:
        return textwrap.dedent(f"""\
            version = 3
            root = "{self.folder}/containerd"
            state = "/run/containerd"
            [grpc]
            address = "/run/containerd/containerd.sock"
            [plugins."io.containerd.cri.v1.images".pinned_images]
            sandbox = "{_PAUSE}"
            [plugins."io.containerd.cri.v1.runtime"]
            restrict_oom_score_adj = true
            [plugins."io.containerd.cri.v1.runtime".cni]
            bin_dirs = ["{CNI}"]
            conf_dir = "{self.folder}/cni"
            [plugins."io.containerd.cri.v1.runtime".containerd]
            default_runtime_name = "runc"
            [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
            runtime_type = "io.containerd.runc.v2"
            [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
            BinaryName = "{self._runtime}"
            """)


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a cluster.

    Raises:
        ServiceUnavailableError: If none can be had here.

    """
    if os.geteuid() != 0:
        raise ServiceUnavailableError("a Kubernetes node needs root")
    helm_program()
    folder = Path(tempfile.mkdtemp(prefix="streamd-kubernetes-"))
    # Containers' users look for their volumes below.
    folder.chmod(0o755)
    try:
        with Cluster(folder).running() as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kubeconfig(token: str) -> str:
    # The certificate is made by the API server when it starts.
    cluster = {"server": _SERVER, "insecure-skip-tls-verify": True}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
    )


def _write_pause(archive: Path, program: Path) -> None:
    """Write an image of one program, as ``docker save`` would."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as files:
        files.add(program, "pause")
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    settings = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [_PAUSE], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as image:
        for name, data in (
            ("config.json", json.dumps(settings).encode()),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            image.addfile(entry, io.BytesIO(data))

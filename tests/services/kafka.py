"""A real Kafka broker: its jars from Maven, one process in KRaft mode, four listeners.

The jars are fetched once into ``.venv/services``. Where Java or Maven is absent, or Maven's
repository out of reach, the tests are skipped with that reason.

Everyone on the plaintext listener may do everything; the user of the SASL listeners may do
everything but use topics that are made ``denied``.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import confluent_kafka
import confluent_kafka.admin

from tests.services.fetched import ServiceUnavailableError, fetched
from tests.support.certificates import self_signed

__all__ = [
    "PASSWORD",
    "USER",
    "KafkaBroker",
    "broker_jars",
    "kafka_broker",
]

USER, PASSWORD = "streamd", "right"
POM = Path(__file__).with_name("kafka.pom.xml")
TARGET = Path(__file__).parents[2] / ".venv" / "services"
FETCH_SECONDS = 240.0
START_SECONDS = 60.0

admin: Any = confluent_kafka.admin  # its exports are marked for people, not for type checkers

_JAVA = ("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_LISTENERS = ("PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL")
_CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_PLAIN = (
    f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
)


def broker_jars() -> Path:
    """Return the folder of the broker's jars, fetched if missing.

    Raises:
        ServiceUnavailableError: If they cannot be had.

    """
    target = TARGET / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    return fetched(target, _fetch, tools=("java", "mvn"))


def _fetch(folder: Path) -> None:
    command = (
        *("mvn", "--batch-mode", "--quiet", "--no-transfer-progress"),
        *("-Daether.connector.connectTimeout=10000", "-f", str(POM)),
        *("dependency:copy-dependencies", f"-DoutputDirectory={folder}"),
    )
    log = TARGET / "kafka.log"
    try:
        with log.open("wb") as out:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=FETCH_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise ServiceUnavailableError(
            f"Kafka's jars were not fetched within {FETCH_SECONDS:.0f} s"
        ) from None
    if done.returncode != 0:
        raise ServiceUnavailableError(
            f"Kafka's jars cannot be fetched here (mvn answered {done.returncode}, see {log})"
        )


class KafkaBroker:
    """A broker that can be stopped, killed, frozen and started again; its data stay."""

    def __init__(self, jars: Path, folder: Path) -> None:
        self._jars = jars
        self._folder = folder
        self._ports = dict(zip((*_LISTENERS, "CONTROLLER"), _free_ports(5), strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        self.certificate, key = self_signed(folder)
        self._pem = folder / "broker.pem"
        self._pem.write_bytes(key.read_bytes() + self.certificate.read_bytes())
        self._properties = folder / "server.properties"
        self._properties.write_text(
            "".join(f"{name}={value}\n" for name, value in self._settings().items())
        )
        (folder / "log4j.properties").write_text(
            "log4j.rootLogger=WARN, out\n"
            "log4j.appender.out=org.apache.log4j.ConsoleAppender\n"
            "log4j.appender.out.layout=org.apache.log4j.PatternLayout\n"
            "log4j.appender.out.layout.ConversionPattern=%d %p %c %m%n\n"
        )
        self._format()

    @property
    def bootstrap_servers(self) -> str:
        """The plaintext listener."""
        return self.address("PLAINTEXT")

    def address(self, protocol: str) -> str:
        """HOST:PORT of a listener, by its security protocol."""
        return f"127.0.0.1:{self._ports[protocol]}"

    def start(self) -> None:
        """Start, and return when it answers."""
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java(), "kafka.Kafka", str(self._properties)], stdout=log, stderr=log
            )
        client = self._admin()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client.list_topics(timeout=1)
            except confluent_kafka.KafkaException:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise ServiceUnavailableError(
                        f"the broker does not start:\n{self.log()}"
                    ) from None
            else:
                return

    def stop(self) -> None:
        """Stop in order, as for an upgrade."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End at once, as in a crash."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Answer nothing any more, with every connection open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def create_topic(
        self, name: str, *, denied: bool = False, max_message_bytes: int = 1_048_588
    ) -> None:
        """Create a topic of one partition; ``denied`` to the user of the SASL listeners."""
        config = {"max.message.bytes": str(max_message_bytes)}
        client = self._admin()
        topic = admin.NewTopic(name, num_partitions=1, replication_factor=1, config=config)
        client.create_topics([topic])[name].result(10)
        if denied:
            rule = admin.AclBinding(
                admin.ResourceType.TOPIC,
                name,
                admin.ResourcePatternType.LITERAL,
                f"User:{USER}",
                "*",
                admin.AclOperation.ALL,
                admin.AclPermissionType.DENY,
            )
            client.create_acls([rule])[rule].result(10)

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        client = self._admin()
        client.delete_topics([name])[name].result(10)

    def log(self) -> str:
        """The end of what the broker has said."""
        return (self._folder / "broker.log").read_text(errors="replace")[-4000:]

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            # A frozen one hears nothing but this.
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(30)
            self._process = None

    def _admin(self) -> admin.AdminClient:
        quiet = {"log_level": 0, "socket.connection.setup.timeout.ms": 1000}
        return admin.AdminClient({"bootstrap.servers": self.bootstrap_servers, **quiet})

    def _java(self) -> tuple[str, ...]:
        log4j = f"-Dlog4j.configuration=file:{self._folder / 'log4j.properties'}"
        return (*_JAVA, log4j, "-cp", f"{self._jars}/*")

    def _format(self) -> None:
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        tool = ("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "--add-scram", scram)
        done = subprocess.run(
            [*self._java(), *tool, "-c", str(self._properties)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise ServiceUnavailableError(f"the broker's storage: {done.stdout.decode()[-2000:]}")

    def _settings(self) -> Mapping[str, str]:
        served = [f"{name}://{self.address(name)}" for name in _LISTENERS]
        controller = self.address("CONTROLLER")
        protocols = [f"{name}:{name}" for name in _LISTENERS]
        sasl = {
            f"listener.name.{listener}.{mechanism}.sasl.jaas.config": module
            for listener in ("sasl_plaintext", "sasl_ssl")
            for mechanism, module in (("plain", _PLAIN), ("scram-sha-512", _SCRAM))
        }
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join([*served, f"CONTROLLER://{controller}"]),
            "advertised.listeners": ",".join(served),
            "listener.security.protocol.map": ",".join([*protocols, "CONTROLLER:PLAINTEXT"]),
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._folder / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            # A killed broker's place is free again sooner.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            **sasl,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._pem),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "super.users": "User:ANONYMOUS",
        }


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextlib.contextmanager
def kafka_broker(folder: Path) -> Iterator[KafkaBroker]:
    """Run a broker.

    Raises:
        ServiceUnavailableError: If none can be had here.

    """
    broker = KafkaBroker(broker_jars(), folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()

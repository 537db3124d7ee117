"""Settings: one TOML file, overridden by ``STREAMD_<SECTION>__<KEY>``, checked before anything runs.

Nothing else reads the environment or the file. A part receives its own section.
``deploy/streamd.toml`` is the commented reference.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from streamd.config_auth import AuthSettings, Credential
from streamd.config_outputs import (
    KafkaSettings,
    KinesisSettings,
    OutboxSettings,
    OutputsSettings,
    PositiveFloat,
    PositiveInt,
    S3Settings,
    Section,
    SnsSettings,
    WebhookSettings,
)
from streamd.errors import ConfigError

__all__ = [
    "AnalysisSettings",
    "AuthSettings",
    "AwsSettings",
    "CameraSettings",
    "ConsoleSettings",
    "Credential",
    "KafkaSettings",
    "KinesisSettings",
    "KinesisVideoSettings",
    "LimitsSettings",
    "ModelsSettings",
    "OutboxSettings",
    "OutputsSettings",
    "S3Settings",
    "ServerSettings",
    "Settings",
    "SnsSettings",
    "StoreSettings",
    "WebhookSettings",
    "dump_settings",
    "load_settings",
    "parse_dump",
]

ENV_PREFIX = "STREAMD_"
NOT_SECTIONS = frozenset({"config", "shared"})
"""Variables beside the settings: the settings file of commands, the tests' models and media."""
OF_A_SERVICE = re.compile(
    r"STREAMD_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)"
)
"""What Kubernetes sets in every pod where a Service is called ``streamd`` (``enableServiceLinks``)."""
PaceInBytes = Annotated[int, Field(ge=100_000)]


class ServerSettings(Section):
    """``[server]``: where the daemon listens and what it may use."""

    listen: str = "127.0.0.1:8700"
    """HOST:PORT; port 0 picks a free one."""
    data_dir: Path = Path("streamd-data")
    tls_cert: Path | None = None
    tls_key: Path | None = None
    workers: Annotated[int, Field(ge=0)] | None = None
    """Worker processes; ``None``: one per two cores. 0 runs sessions in the control process."""
    public_url: str | None = None
    """URL clients reach the daemon at, for GetDataEndpoint; ``None``: as the client called us."""
    replica_url: str | None = None
    """URL other replicas and clients reach this very one at; ``None``: ``public_url``."""
    max_body_bytes: PositiveInt = 16 * 1024 * 1024
    """Longest body of an API request (an image of 5 MB is 7 MB of base64)."""
    max_connections: PositiveInt = 8192
    """Connections at once; the next ones are answered 503 and closed."""
    request_timeout_seconds: PositiveFloat = 60.0
    """Longest time the head of a request may take to arrive, and then its body."""
    audit_log: str = "log"
    """``log``: among the others; ``off``; or a file of JSON lines."""
    drain_seconds: PositiveFloat = 20.0
    """Longest time SIGTERM waits for sessions to drain."""
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def host(self) -> str:
        """The address to listen on."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen on."""
        return int(self.listen.rpartition(":")[2])

    @property
    def advertised_url(self) -> str | None:
        """Where others reach this replica, if the settings say so."""
        url = self.replica_url or self.public_url
        return url.rstrip("/") if url is not None else None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the daemon."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @model_validator(mode="after")
    def _check(self) -> ServerSettings:
        host, colon, port = self.listen.rpartition(":")
        if not colon or not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"'server.listen' must be HOST:PORT, got {self.listen!r}")
        for key in ("public_url", "replica_url"):
            url = getattr(self, key)
            if url is not None and not url.startswith(("http://", "https://")):
                raise ValueError(f"'server.{key}' must be http://… or https://…, got {url!r}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("'server.tls_cert' and 'server.tls_key' go together")
        return self


class AwsSettings(Section):
    """``[aws]``: the region and account the daemon answers for."""

    region: str = Field("us-east-1", pattern=r"^[a-z]{2}(-[a-z0-9]+)+$")
    account_id: str = Field("000000000000", pattern=r"^\d{12}$")
    assume_roles: bool | None = None
    """Assume each stream processor's RoleArn for its video and outputs at AWS; ``None``: where
    ``kinesis_video.endpoint_url`` is ``aws``."""
    sts_endpoint_url: str | None = Field(None, pattern=r"^https?://\S+$")
    """Of the Security Token Service; ``None``: AWS itself, in ``region``."""


class LimitsSettings(Section):
    """``[limits]``: AWS's quotas, per account; the defaults are AWS's values."""

    stream_processors: PositiveInt = 10_000
    """Stream processors that may exist."""
    face_search_sessions: PositiveInt = 10
    """Face searches that may run at once."""
    connected_home_sessions: PositiveInt = 200
    """Label detections that may run at once (AWS's value of its largest Regions)."""


class StoreSettings(Section):
    """``[store]``: where resources are kept."""

    url: str | None = None
    """SQLAlchemy URL; ``None``: SQLite in the data directory."""
    lease_seconds: PositiveFloat = 5.0
    """A worker that is silent this long loses its sessions."""
    home_seconds: PositiveFloat = 10.0
    """A replica that is silent this long loses video streams that somebody sends to."""


class KinesisVideoSettings(Section):
    """``[kinesis_video]``: where video comes from, and the embedded endpoint."""

    endpoint_url: str = "embedded"
    """``embedded``, ``aws`` or a URL."""
    archive: Literal["disk", "s3"] = "disk"
    """Where fragments are kept: in the data directory, or in a bucket that replicas share."""
    archive_bucket: str | None = None
    """The bucket; reached as ``[s3]`` says."""
    archive_prefix: str = "kinesis-video/"
    """Of all keys."""
    max_archive_bytes: PositiveInt = 20 * 1024**3
    """Bytes of archived fragments over all streams; the oldest go first.

    With the archive in S3: of what waits for it and of copies, on the local disk.
    """
    min_free_bytes: Annotated[int, Field(ge=0)] | None = None
    """The oldest fragments go when the disk has less left; ``None``: 5 % of it, 1 GiB at most."""
    max_stream_bytes: PositiveInt | None = None
    """Bytes of archived fragments of one stream."""
    idle_seconds: PositiveFloat = 3.0
    """GetMedia ends this long after the last producer has left."""
    max_connection_seconds: PositiveFloat = 45 * 60.0
    """PutMedia and GetMedia end after this time, as AWS's do."""
    gather_seconds: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Frames of a live producer are taken together for so long; 0: each by itself."""
    max_fragment_seconds: Annotated[float, Field(gt=0, le=60)] = 20.0
    """A longer fragment is refused with 4002 (AWS: 20 seconds, in older documents 10)."""
    # AWS's other quotas of a stream; none holds unless it is set.
    min_fragment_seconds: Annotated[float, Field(gt=0, le=60)] | None = None
    """A shorter fragment that another one follows is refused (AWS: 1)."""
    max_fragments_per_second: PositiveInt | None = None
    """PutMedia and GetMedia are slowed down to it (AWS: 5)."""
    max_put_media_bytes_per_second: PaceInBytes | None = None
    """PutMedia is slowed down to it (AWS: 12 500 000)."""
    max_get_media_bytes_per_second: PaceInBytes | None = None
    """Each GetMedia and GetMediaForFragmentList is slowed down to it (AWS: 25 000 000)."""
    max_get_media_connections: PositiveInt | None = None
    """More get ConnectionLimitExceeded (AWS: 3); our own sessions read by GetMedia, too."""
    max_fragment_list_connections: PositiveInt | None = None
    """Of GetMediaForFragmentList (AWS: 5)."""
    max_calls_per_second: PositiveInt | None = None
    """Of one operation on one stream; more get ClientLimitExceeded (AWS: 5)."""

    @model_validator(mode="after")
    def _check(self) -> KinesisVideoSettings:
        if self.archive == "s3" and not self.archive_bucket:
            raise ValueError(
                "'kinesis_video.archive_bucket' is needed when 'kinesis_video.archive' is s3"
            )
        return self


class AnalysisSettings(Section):
    """``[analysis]``: how much of the video is looked at, and how."""

    fps: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Analysed frames per second of media time."""
    threads: PositiveInt | None = None
    """Decoding and inference threads of a worker; ``None``: its share of the cores."""
    gate: Literal["compressed", "none"] = "compressed"
    """``compressed``: of what is quiet, keyframes are decoded; ``none``: everything is."""
    max_sessions_per_worker: PositiveInt = 256
    max_frame_pixels: PositiveInt = 8192 * 4320
    """Larger pictures are refused before they are decoded."""
    region_min_overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """A detection counts when more than this share of its box lies in one region."""
    session_idle_seconds: PositiveFloat = 10.0
    """A label session ends when its stream brings nothing for this long."""
    hardware_decoder: Literal["none", "auto", "cuda", "qsv", "vaapi", "videotoolbox", "d3d11va"] = (
        "none"
    )
    """Device that decodes video; where it is missing or refuses, the CPU does."""
    skip_disposable: bool = True
    """Do not decode pictures that are not analysed and that no other picture refers to."""
    skip_still: bool = True
    """Look at a frame only where something has changed since the last one that showed nothing."""
    follow_faces: bool = True
    """Embed a face once while it is followed from frame to frame, unless its picture improves."""
    overload: Literal["rate", "latency"] = "rate"
    """What gives when live video is more than the machine can analyse."""


class ModelsSettings(Section):
    """``[models]``: networks."""

    dir: Path | None = None
    """Where pulled packs lie; ``None``: ``models`` in the data directory."""
    mirror: str | None = None
    """Directory or URL to pull packs from instead of their official sources."""
    faces: str = "builtin"
    """Name of the face pack, see ``streamd models list``."""
    labels: str = "auto"
    """Name of the label pack; ``auto``: the best one present, else PERSON from faces."""
    providers: tuple[str, ...] = ("cpu",)
    """ONNX Runtime execution providers in order: ``cuda``, ``cpu``."""
    batch_size: PositiveInt | None = None
    """Most pictures of several streams in one run of a network; ``None``: 1 on a CPU, else 16."""
    batch_window_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """How long a run waits for others to join it although the device is idle."""


class ConsoleSettings(Section):
    """``[console]``: the page for people."""

    enabled: bool = True
    """Serve ``/console`` and keep what it shows."""
    sightings: Annotated[int, Field(ge=0, le=10_000)] = 200
    """Sightings kept of each stream processor, with a picture each; 0 keeps none."""
    sightings_hours: Annotated[float, Field(gt=0)] = 24.0
    """A sighting is forgotten after this time."""


class CameraSettings(Section):
    """``[cameras.NAME]``: a camera relayed into the video stream NAME."""

    url: SecretStr
    """``rtsp://``, ``rtmp://``, ``http://``, a file, or ``/dev/videoN``; may hold a password."""
    stream: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,256}$")] | None = None
    """Kinesis video stream, made if missing; ``None``: the camera's name."""
    retention_hours: Annotated[int, Field(ge=0, le=87_600)] = 24
    """Retention of a stream that is made."""
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    audio: bool = False
    """Keep the sound, where it is AAC."""
    transcode: bool = False
    """Encode anew to H.264, for cameras with odd codecs or endless groups of pictures."""
    clock: Literal["auto", "camera", "server"] = "auto"
    """Whose clock gives producer timestamps; ``auto``: the camera's where it tells the time
    (RTCP sender reports) and is right within seconds."""
    open_timeout_seconds: PositiveFloat = 10.0
    read_timeout_seconds: PositiveFloat = 5.0
    """A camera silent this long is connected to again."""


class Settings(BaseSettings):
    """All settings of one daemon."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    aws: AwsSettings = AwsSettings()
    limits: LimitsSettings = LimitsSettings()
    store: StoreSettings = StoreSettings()
    kinesis_video: KinesisVideoSettings = KinesisVideoSettings()
    outputs: OutputsSettings = OutputsSettings()
    kafka: KafkaSettings = KafkaSettings()
    kinesis: KinesisSettings = KinesisSettings()
    s3: S3Settings = S3Settings()
    sns: SnsSettings = SnsSettings()
    webhook: WebhookSettings = WebhookSettings()
    analysis: AnalysisSettings = AnalysisSettings()
    models: ModelsSettings = ModelsSettings()
    outbox: OutboxSettings = OutboxSettings()
    console: ConsoleSettings = ConsoleSettings()
    cameras: dict[str, CameraSettings] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def data_dir(self) -> Path:
        """The data directory, absolute."""
        return self.server.data_dir.resolve()

    @property
    def assumes_roles(self) -> bool:
        """Whether a stream processor's RoleArn is assumed."""
        if self.aws.assume_roles is not None:
            return self.aws.assume_roles
        return self.kinesis_video.endpoint_url == "aws"

    @property
    def models_dir(self) -> Path:
        """Where pulled model packs lie."""
        return self.models.dir or self.data_dir / "models"

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL of the store."""
        return self.store.url or f"sqlite:///{self.data_dir / 'streamd.sqlite'}"

    @model_validator(mode="after")
    def _check(self) -> Settings:
        exposed = not self.server.is_loopback
        if exposed and self.auth.mode == "none" and not self.auth.insecure:
            raise ValueError(
                f"'server.listen' is {self.server.listen}, which others can reach: set "
                "'auth.mode' to sigv4 with 'auth.credentials', or accept the risk with --insecure"
            )
        if self.outputs.sns == "webhook" and not (self.webhook.url and self.webhook.secret):
            raise ValueError(
                "'webhook.url' and 'webhook.secret' are needed when 'outputs.sns' is webhook"
            )
        return self


def load_settings(
    file: Path | None = None, overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> Settings:
    """Read and check the settings.

    Args:
        file: TOML file, or ``None`` for defaults and environment alone.
        overrides: ``{section: {key: value}}`` from the command line; wins over all else.

    Raises:
        ConfigError: If a key is unknown or a value cannot work; the message names the key.

    """
    if file is not None and not file.is_file():
        raise ConfigError(f"settings file {file} does not exist")

    class _FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    _refuse_unknown_environment()
    try:
        values: dict[str, Any] = {k: dict(v) for k, v in (overrides or {}).items() if v}
        return _FromFile(**values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(dict(e)) for e in error.errors())) from None
    except (ValueError, OSError) as error:
        raise ConfigError(f"settings cannot be read: {error}") from error


def dump_settings(settings: Settings) -> str:
    """Return all settings as one line of JSON, secrets in clear: for a worker's pipe alone."""
    return json.dumps(_reveal(settings.model_dump(mode="python")))


def parse_dump(line: str) -> Settings:
    """Read what :func:`dump_settings` wrote.

    Raises:
        ConfigError: If it is something else.

    """
    try:
        values: dict[str, Any] = json.loads(line)
        return Settings(**values)
    except ValueError as error:
        raise ConfigError("settings handed to the worker cannot be read") from error


def _reveal(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, dict):
        return {key: _reveal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_reveal(item) for item in value]
    return value


def _refuse_unknown_environment() -> None:
    # pydantic-settings ignores variables whose section it does not know.
    known = {*Settings.model_fields, *NOT_SECTIONS}
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and not OF_A_SERVICE.fullmatch(name):
            section = name.removeprefix(ENV_PREFIX).lower().partition("__")[0]
            if section not in known:
                raise ConfigError(f"environment variable {name} names no section of the settings")


def _explain(error: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"'{key}' is not a setting"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"'{key}': {message}" if key and not message.startswith("'") else message

"""Signatures and TLS against a running daemon; ``tests/clients`` has the clients of others."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.certificates import self_signed
from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.scenes import face_video
from tests.support.story import create_face_search, wait_for_status

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def signed_env() -> dict[str, str]:
    """Settings that demand signatures."""
    credentials = json.dumps([{"access_key_id": KEY, "secret_access_key": SECRET}])
    return {"STREAMD_AUTH__MODE": "sigv4", "STREAMD_AUTH__CREDENTIALS": credentials}


def test_signatures_are_demanded_and_workers_have_their_own_key(
    data_dir: Path, signed_env: dict[str, str]
) -> None:
    """A wrong secret is refused, the right one serves the whole job, probes need none."""
    with running_daemon(data_dir, signed_env) as daemon:
        with pytest.raises(ClientError) as caught:
            daemon.client("rekognition", key=KEY, secret="wrong").list_collections()
        assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
        with pytest.raises(ClientError) as caught:
            daemon.client("rekognition", key="AKIDUNKNOWN", secret="x").list_collections()
        assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"
        assert daemon.get("/healthz")[0] == 200

        daemon.credentials = (KEY, SECRET)
        create_face_search(daemon, "signed")
        daemon.client("rekognition").start_stream_processor(Name="signed")
        wait_for_status(daemon, "signed", "RUNNING")
        sent = subprocess.run(
            [
                *(sys.executable, "-m", "streamd", "put-media", "--stream", "signed", "--fast"),
                *("--endpoint", daemon.url, "--source", str(_clip(data_dir.parent))),
            ],
            env={**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert sent.returncode == 0, sent.stderr + sent.stdout
        wait_until(lambda: len(daemon.records("signed")) == 10, what="10 records")
        assert SECRET not in daemon.log()


def _clip(folder: Path) -> Path:
    from tests.support.media import put_media_body

    path = folder / "clip.mkv"
    path.write_bytes(put_media_body(face_video(2.0), start_ms=0))
    return path


def test_tls_serves_the_same_job(data_dir: Path, tmp_path: Path) -> None:
    """With a certificate the port speaks TLS, to clients and to the daemon's own workers."""
    certificate, key = self_signed(tmp_path)
    env = {"STREAMD_SERVER__TLS_CERT": str(certificate), "STREAMD_SERVER__TLS_KEY": str(key)}
    daemon = Daemon(data_dir, env)
    try:
        daemon.start(ready=False)
        context = ssl.create_default_context(cafile=str(certificate))

        def ready() -> bool:
            url = f"https://127.0.0.1:{daemon.port}/readyz"
            try:
                with urllib.request.urlopen(url, context=context, timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        wait_until(ready, what="/readyz over TLS")
        daemon.url = f"https://127.0.0.1:{daemon.port}"
        daemon.verify = str(certificate)
        create_face_search(daemon, "tls")
        daemon.client("rekognition").start_stream_processor(Name="tls")
        # RUNNING means that a worker has read GetMedia, over TLS.
        wait_for_status(daemon, "tls", "RUNNING")
        assert daemon.terminate() == 0
    finally:
        daemon.stop()

"""What `helm test` runs: one signed look into each of the two APIs, by the Service.

A key that may not look is an answer, too: the signature was checked.
"""

import json
import os
import sys
import tomllib
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def first_key() -> tuple[str, str]:
    """Return the first key of the file; any where nobody checks."""
    path = os.environ.get("API_KEYS")
    if path is None:
        return "any", "any"
    text = Path(path).read_text()
    keys = json.loads(text) if path.endswith(".json") else tomllib.loads(text)
    key = keys["credentials"][0]
    return key["access_key_id"], key["secret_access_key"]


def ask(service: str, operation: str) -> None:
    """Call an operation that takes nothing and changes nothing."""
    ca = os.environ.get("API_CA", "")
    access_key_id, secret_access_key = first_key()
    client = boto3.client(
        service,
        endpoint_url=os.environ["API_URL"],
        region_name=os.environ["API_REGION"],
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        # None: what SSL_CERT_FILE, AWS_CA_BUNDLE or botocore itself trusts.
        verify=ca if Path(ca).is_file() else None,
        config=Config(retries={"max_attempts": 8, "mode": "standard"}, connect_timeout=5),
    )
    try:
        getattr(client, operation)()
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
    sys.stdout.write(f"{service} {operation}: answered\n")


try:
    ask("rekognition", "list_stream_processors")
    ask("kinesisvideo", "list_streams")
except (BotoCoreError, ClientError) as error:
    sys.exit(f"no: {error}")

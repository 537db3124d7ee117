"""Settings of the outputs: what is refused, and what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.config import Settings, WebhookSettings, dump_settings, load_settings, parse_dump
from streamd.config_outputs import webhook_key
from streamd.errors import ConfigError

SECRET = "whsec_Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWU="


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[outputs]\nsns = "webhook"', "'webhook.url' and 'webhook.secret' are needed"),
        ('[webhook]\nsecret = "whsec_c2hvcnQ="', "'webhook.secret' must be whsec_"),
        ('[webhook]\nprevious_secret = "no base64!"', "'webhook.previous_secret' must be whsec_"),
        ('[webhook]\nurl = "ftp://host/"', "'webhook.url' must be http"),
        ('[webhook]\nurl = "https:///path"', "'webhook.url' must be http"),
        ('[webhook]\nurl = "https://{topic}.example.com/"', "{topic} only in the path"),
        ('[webhook.headers]\nWebhook-Id = "1"', "may not set 'Webhook-Id'"),
        ("[outbox]\nmax_age_hours = 0", "'outbox.max_age_hours'"),
    ],
    ids=["needed", "short", "not base64", "scheme", "no host", "host", "header", "age"],
)
def test_mistakes_name_their_key(tmp_path: Path, text: str, message: str) -> None:
    """The daemon does not start with outputs that cannot work."""
    path = tmp_path / "streamd.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert message in str(caught.value)


def test_secrets_of_webhooks_reach_workers_and_no_logs() -> None:
    """URL, secret and headers are masked, and in clear only on a worker's pipe."""
    webhook = WebhookSettings.model_validate(
        {
            "url": "https://host/token-1234",
            "secret": SECRET,
            "headers": {"Authorization": "Bearer 5678"},
        }
    )
    settings = Settings(webhook=webhook)
    assert "token-1234" not in repr(settings)
    assert "5678" not in repr(settings)
    assert SECRET not in repr(settings)
    assert parse_dump(dump_settings(settings)).webhook == webhook


def test_a_secret_is_the_base64_behind_its_prefix() -> None:
    """The prefix tells people what it is; both forms are one key."""
    with_prefix = WebhookSettings.model_validate({"secret": SECRET}).secret
    without = WebhookSettings.model_validate({"secret": SECRET.removeprefix("whsec_")}).secret
    assert with_prefix is not None
    assert without is not None
    assert webhook_key(with_prefix) == webhook_key(without) == b"change-me-change-me-change-me"

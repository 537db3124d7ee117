"""Stream processors in AWS's spelling: requests to values, values to answers.

Lengths, bounds and patterns of single members are the model's and checked before; here are
the rules between members, from *Amazon Rekognition API Reference* and *Developer Guide*.

Extensions beyond AWS, none of which changes an answer AWS gives: either kind of stream
processor may use either output, and both may have regions of interest. A label detection
processor needs a NotificationChannel with the S3 output, as at AWS; with the Kinesis output
its records already tell what a notification would, so it may go without. Several stream
processors may share a video stream, a data stream or a bucket; AWS wants one of each for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamd.api.refusals import invalid_parameter
from streamd.api.regions import regions_from_wire, regions_to_wire
from streamd.resources import (
    DEFAULT_FACE_MATCH_THRESHOLD_PERCENT,
    DEFAULT_MAX_DURATION_SECONDS,
    DEFAULT_MIN_CONFIDENCE_PERCENT,
    ConnectedHomeSettings,
    FaceSearchSettings,
    KinesisOutput,
    S3Output,
    StartRequest,
    StreamProcessor,
    StreamProcessorDefinition,
)

__all__ = [
    "LABELS",
    "change_from_wire",
    "definition_from_wire",
    "processor_to_wire",
    "start_from_wire",
]

LABELS = ("PERSON", "PET", "PACKAGE", "ALL")
"""ConnectedHomeSettings.Labels (*API Reference*); the model has no enum for them."""

_Params = Mapping[str, Any]


def definition_from_wire(params: _Params) -> StreamProcessorDefinition:
    """Return what CreateStreamProcessor asks for.

    Raises:
        ServiceError: ``InvalidParameterException``.

    """
    settings = _settings(params["Settings"])
    output = _output(params["Output"])
    topic = params.get("NotificationChannel", {}).get("SNSTopicArn")
    if isinstance(settings, ConnectedHomeSettings) and isinstance(output, S3Output) and not topic:
        raise invalid_parameter(
            "Label detection with an S3Destination needs a NotificationChannel."
        )
    return StreamProcessorDefinition(
        input_arn=_needed(params["Input"], "Input", "KinesisVideoStream", "Arn"),
        output=output,
        settings=settings,
        role_arn=params["RoleArn"],
        sns_topic_arn=topic,
        kms_key_id=params.get("KmsKeyId"),
        regions_of_interest=regions_from_wire(
            params.get("RegionsOfInterest", ()), member="RegionsOfInterest"
        ),
        opt_in=params.get("DataSharingPreference", {}).get("OptIn", False),
    )


def start_from_wire(params: _Params, definition: StreamProcessorDefinition) -> StartRequest:
    """Return what StartStreamProcessor asks for.

    "StartSelector: required for label detection, should not be used for face search";
    the same holds for StopSelector, which defaults to 10 seconds for label detection.

    Raises:
        ServiceError: ``InvalidParameterException``.

    """
    if isinstance(definition.settings, FaceSearchSettings):
        for member in ("StartSelector", "StopSelector"):
            if member in params:
                raise invalid_parameter(f"{member} can not be used for face search.")
        return StartRequest()
    selector = params.get("StartSelector", {}).get("KVSStreamStartSelector", {})
    timestamp, fragment = selector.get("ProducerTimestamp"), selector.get("FragmentNumber")
    if (timestamp is None) == (fragment is None):
        raise invalid_parameter(
            "Label detection needs a StartSelector with exactly one of ProducerTimestamp and "
            "FragmentNumber."
        )
    return StartRequest(
        producer_timestamp_ms=timestamp,
        fragment_number=fragment,
        max_duration_seconds=params.get("StopSelector", {}).get(
            "MaxDurationInSeconds", DEFAULT_MAX_DURATION_SECONDS
        ),
    )


def change_from_wire(
    params: _Params,
) -> Callable[[StreamProcessorDefinition], StreamProcessorDefinition]:
    """Return the change UpdateStreamProcessor asks for, as a function of the definition.

    The function raises the same error where the change does not fit the kind of processor.

    Raises:
        ServiceError: ``InvalidParameterException``.

    """
    settings_for_update = params.get("SettingsForUpdate", {})
    home = settings_for_update.get("ConnectedHomeForUpdate", {})
    deleted = frozenset(params.get("ParametersToDelete", ()))
    changed: dict[str, Any] = {}
    if "RegionsOfInterestForUpdate" in params:
        changed["regions_of_interest"] = regions_from_wire(
            params["RegionsOfInterestForUpdate"], member="RegionsOfInterestForUpdate"
        )
    if "DataSharingPreferenceForUpdate" in params:
        changed["opt_in"] = params["DataSharingPreferenceForUpdate"]["OptIn"]
    settings: dict[str, Any] = {}
    if "Labels" in home:
        settings["labels"] = _labels(home["Labels"])
    if "MinConfidence" in home:
        settings["min_confidence_percent"] = home["MinConfidence"]
    _apply_deletions(deleted, changed, settings)
    # An empty structure changes nothing, but it too says what kind the processor is of.
    is_label = bool(settings) or "ConnectedHomeForUpdate" in settings_for_update

    def change(definition: StreamProcessorDefinition) -> StreamProcessorDefinition:
        update = dict(changed)
        if is_label:
            if not isinstance(definition.settings, ConnectedHomeSettings):
                raise invalid_parameter("The settings of a face search can not be updated.")
            update["settings"] = definition.settings.model_copy(update=settings)
        return definition.model_copy(update=update)

    return change


def processor_to_wire(processor: StreamProcessor) -> dict[str, Any]:
    """Return the members of DescribeStreamProcessor's answer."""
    definition = processor.definition
    topic = definition.sns_topic_arn
    return {
        "Name": processor.name,
        "StreamProcessorArn": processor.arn,
        "Status": str(processor.status),
        "StatusMessage": processor.status_message,
        "CreationTimestamp": processor.created_at,
        "LastUpdateTimestamp": processor.last_updated_at,
        "Input": {"KinesisVideoStream": {"Arn": definition.input_arn}},
        "Output": _output_to_wire(definition.output),
        "RoleArn": definition.role_arn,
        "Settings": _settings_to_wire(definition.settings),
        "NotificationChannel": {"SNSTopicArn": topic} if topic else None,
        "KmsKeyId": definition.kms_key_id,
        "RegionsOfInterest": regions_to_wire(definition.regions_of_interest) or None,
        # "If no value is given, data sharing is off": the service echoes it either way.
        "DataSharingPreference": {"OptIn": definition.opt_in},
    }


def _settings(settings: _Params) -> FaceSearchSettings | ConnectedHomeSettings:
    face, home = settings.get("FaceSearch"), settings.get("ConnectedHome")
    if (face is None) == (home is None):
        raise invalid_parameter("Settings needs exactly one of FaceSearch and ConnectedHome.")
    if home is not None:
        return ConnectedHomeSettings(
            labels=_labels(home["Labels"]),
            min_confidence_percent=home.get("MinConfidence", DEFAULT_MIN_CONFIDENCE_PERCENT),
        )
    threshold = settings["FaceSearch"].get(
        "FaceMatchThreshold", DEFAULT_FACE_MATCH_THRESHOLD_PERCENT
    )
    return FaceSearchSettings(
        collection_id=_needed(settings, "Settings", "FaceSearch", "CollectionId"),
        # "Values below 80 are accepted and stored as 80" (FaceSearchSettings).
        face_match_threshold_percent=max(DEFAULT_FACE_MATCH_THRESHOLD_PERCENT, threshold),
    )


def _labels(labels: list[str]) -> tuple[str, ...]:
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise invalid_parameter(
            f"Labels can be {', '.join(LABELS)}, got {', '.join(repr(u[:64]) for u in unknown)}."
        )
    return tuple(labels)


def _output(output: _Params) -> KinesisOutput | S3Output:
    stream, bucket = output.get("KinesisDataStream"), output.get("S3Destination")
    if (stream is None) == (bucket is None):
        raise invalid_parameter("Output needs exactly one of KinesisDataStream and S3Destination.")
    if bucket is None:
        return KinesisOutput(arn=_needed(output, "Output", "KinesisDataStream", "Arn"))
    return S3Output(
        bucket=_needed(output, "Output", "S3Destination", "Bucket"),
        key_prefix=bucket.get("KeyPrefix"),
    )


def _needed(params: _Params, member: str, *names: str) -> str:
    """Return a member the model calls optional and the service needs."""
    value: Any = params
    for name in names:
        value = value.get(name)
        if value is None:
            raise invalid_parameter(f"{'.'.join((member, *names))} is required.")
    return str(value)


def _apply_deletions(
    deleted: frozenset[str], changed: dict[str, Any], settings: dict[str, Any]
) -> None:
    if "RegionsOfInterest" in deleted:
        if "regions_of_interest" in changed:
            raise invalid_parameter("RegionsOfInterest can not be both updated and deleted.")
        changed["regions_of_interest"] = ()
    if "ConnectedHomeMinConfidence" in deleted:
        if "min_confidence_percent" in settings:
            raise invalid_parameter("MinConfidence can not be both updated and deleted.")
        settings["min_confidence_percent"] = DEFAULT_MIN_CONFIDENCE_PERCENT


def _output_to_wire(output: KinesisOutput | S3Output) -> dict[str, Any]:
    if isinstance(output, KinesisOutput):
        return {"KinesisDataStream": {"Arn": output.arn}}
    return {"S3Destination": {"Bucket": output.bucket, "KeyPrefix": output.key_prefix}}


def _settings_to_wire(settings: FaceSearchSettings | ConnectedHomeSettings) -> dict[str, Any]:
    if isinstance(settings, FaceSearchSettings):
        return {
            "FaceSearch": {
                "CollectionId": settings.collection_id,
                "FaceMatchThreshold": settings.face_match_threshold_percent,
            }
        }
    return {
        "ConnectedHome": {
            "Labels": list(settings.labels),
            "MinConfidence": settings.min_confidence_percent,
        }
    }

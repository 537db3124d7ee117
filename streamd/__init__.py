"""streamd: a self-hosted, wire-compatible Amazon Rekognition Streaming Video."""

__version__ = "0.1.0"

"""The embedded Kinesis Video: control plane, PutMedia, GetMedia, an archive on disk."""

from streamd.gateway.gateway import Gateway

__all__ = ["Gateway"]

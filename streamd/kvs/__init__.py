"""Kinesis Video on the wire: Matroska in and out, fragments, acknowledgements. Pure."""

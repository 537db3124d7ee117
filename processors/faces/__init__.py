"""Faces: found, aligned, described by vectors, and searched for."""

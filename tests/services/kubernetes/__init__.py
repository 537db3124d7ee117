"""Kubernetes itself for tests: its programs built, and a cluster of one node run from them."""

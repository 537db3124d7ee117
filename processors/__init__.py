"""Pictures in, results out: face search and label detection without a service around them.

This library knows no AWS, no event loop and no metrics, and never imports ``streamd``.
"""

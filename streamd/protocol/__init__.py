"""The wire: AWS's service descriptions turned into parsers, checks, answers and signatures.

Pure: no I/O beyond reading botocore's own data files, no clock, no event loop.
"""

"""The wire: AWS's service descriptions turned into parsers, checks, answers and signatures.

Pure: no I/O beyond reading botocore's own data files, no clock of its own, no event loop. The
one exception is ``sigv4.py``, the door at which aiohttp requests are authenticated.
"""

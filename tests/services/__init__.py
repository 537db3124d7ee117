"""Real third-party servers: fetched once, started by the tests that need them, else skipped."""

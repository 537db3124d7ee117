"""Sessions: the one room where blocking work and the event loop meet."""

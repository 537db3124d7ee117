"""``make bench``: streamd beside a plain loop and the floor, in one run on the same clip."""

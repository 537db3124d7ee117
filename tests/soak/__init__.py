"""A mixed load with faults, and the books of it."""

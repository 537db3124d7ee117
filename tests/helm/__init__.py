"""The Helm chart: what it is made from, what it renders, and that streamd takes it."""

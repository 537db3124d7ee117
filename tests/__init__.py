"""Makes this directory the package `tests`; a dependency installs one of the same name."""

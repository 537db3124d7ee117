"""What is in deploy/: checked here, and run as far as this machine can."""

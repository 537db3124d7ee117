"""What tests share: media, a daemon to talk to."""

"""Video in: GetMedia over HTTP, decoding, media time."""

"""The compressed-domain gate: while a stream shows nothing new, only its keyframes are decoded."""

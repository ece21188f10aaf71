"""Image names, registries and digests, without a daemon and without models."""

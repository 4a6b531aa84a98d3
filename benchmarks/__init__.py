"""Headrace beside its peers: ``python -m benchmarks --help`` and benchmarks/README.md."""

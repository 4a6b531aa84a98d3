"""The Efficient DataFlow pipeline on real photographs: `python -m demo`."""

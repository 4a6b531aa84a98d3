"""Run a training script undisturbed; then once more, kill it in mid-pass, and let it go on. The weights are the same.

python examples/killed.py examples/torch_digits.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile


def run(script, folder, *more):
    """The exit code and the last line of a run."""
    done = subprocess.run([sys.executable, script, "--folder", folder, *more], stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    for line in lines:
        print("   ", line)
    return done.returncode, lines[-1] if lines else ""


def main():
    """Three runs."""
    script, *more = sys.argv[1:]
    with tempfile.TemporaryDirectory() as undisturbed, tempfile.TemporaryDirectory() as disturbed:
        print("undisturbed:")
        code, expected = run(script, undisturbed, *more)
        if code != 0:
            sys.exit(f"it failed with exit code {code}")
        print("killed in the third pass over the data:")
        code, _ = run(script, disturbed, *more, "--die-at", "133")
        if code != -9:
            sys.exit(f"it should have been killed, but left with exit code {code}")
        print("started again:")
        _, resumed = run(script, disturbed, *more)
    if resumed != expected:
        sys.exit("the weights differ")
    print("the weights are the same")


if __name__ == "__main__":
    main()

"""What the command ``headrace`` begins with: Ctrl-C ends it without a traceback from its first moment on.

Most of that time goes into importing the package, so this stands beside it: what is inside of it would come too late.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run `headrace.cli.main`; its exit code, also for a Ctrl-C while it is still being imported."""
    try:
        from headrace import cli

        return cli.main()
    except KeyboardInterrupt:
        print("headrace: interrupted", file=sys.stderr)
        return 130

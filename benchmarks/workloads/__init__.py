"""One file for each kind of work, with its place in the report (``ORDER``) and its ``WORKLOADS``.

Functions that workers run are at module level, so that every start method can import them.
"""

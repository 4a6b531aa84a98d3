"""One file for each library: its environment (``ENVIRONMENT``) and the ways to use it (``PEERS``)."""

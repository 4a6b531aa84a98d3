"""``headrace keygen``."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import check_writable, write_json
from .targets import Refusal, Run

__all__ = ["keygen"]


def keygen(parser: argparse.ArgumentParser) -> Run:
    """Make keys for flows over the network.

    For each name two files: NAME.key, which may be given to anyone, and NAME.key_secret, which stays where it is.
    Nothing is overwritten, and no key is printed.

    Example:
      $ headrace keygen keys
      $ headrace keygen keys --name node1 --name node2 --json files.json

      # here, with keys/receiver.key_secret and the senders' public keys:
      $ headrace receive tcp://*:5555 --key keys/receiver.key_secret --peer keys/node1.key --peer keys/node2.key
      # on node1, with node1.key_secret and receiver.key:
      $ headrace serve pipeline:make_flow --to tcp://trainer:5555 --key node1.key_secret --peer receiver.key
    """
    parser.add_argument("folder", metavar="DIR", type=Path, help="where to put them; made if it is not there")
    parser.add_argument(
        "--name", metavar="NAME", action="append", help="whose keys; may be given again (default: receiver and sender)"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the names of the files to a file as well")
    return _keygen


def _keygen(args: argparse.Namespace) -> int:
    from ..remote.security import write_keys

    if args.json is not None:
        check_writable(args.json)
    try:
        files = write_keys(args.folder, args.name or ["receiver", "sender"])
    except FileExistsError as error:
        raise Refusal(str(error) if error.errno is None else f"{args.folder} is no folder") from None
    except OSError as error:
        raise Refusal(f"the keys cannot be written to {args.folder}: {error.strerror}") from None
    except ValueError as error:
        raise Refusal(str(error)) from None
    for file in files:
        print(file)
    if args.json is not None:
        write_json(args.json, {"files": [str(file) for file in files]})
    return 0

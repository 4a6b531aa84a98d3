"""``headrace serve``."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import RemoteError
from ..flow import DataFlow
from .arguments import check_writable, number, write_json
from .targets import INTERRUPTED, Refusal, Run, blaming_user, load_flow

__all__ = ["connection", "declare_connection", "refusing_bad_arguments", "serve"]


def serve(parser: argparse.ArgumentParser) -> Run:
    """Send the datapoints of a pipeline to a receiver, which may run on another machine.

    The receiver is a RemoteDataZMQ, or headrace receive. It may start earlier or later, go away and come back. Runs
    until Ctrl-C, unless --passes is given. With --workers, copies of the pipeline run in so many processes; with --ack
    too, their datapoints are taken in turn, so that the order is the same after a restart.

    Example:
      # pipeline.py
      import headrace as hr
      def make_flow():
          return hr.BatchData(hr.DataFromList(range(100_000)), 64)

      $ headrace serve pipeline:make_flow --to tcp://127.0.0.1:5555 --passes 1
      $ headrace serve pipeline:make_flow --to tcp://trainer:5555 --workers 4 --key node1.key_secret --peer receiver.key
      $ headrace serve pipeline:make_flow --to tcp://127.0.0.1:5555 --ack --state state.json
    """
    parser.add_argument("target", metavar="module:flow", help="what to send, for example package.module:make_flow")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", metavar="ADDRESS", help="connect to a receiver: tcp://HOST:PORT or ipc://PATH")
    where.add_argument("--at", metavar="ADDRESS", help="bind to the address; one receiver connects")
    parser.add_argument(
        "--workers", metavar="N", type=number(int, 1), help="run the pipeline in N processes, each its share of a pass"
    )
    parser.add_argument("--passes", metavar="N", type=number(int, 1), help="end after N passes (default: never)")
    parser.add_argument("--ack", action="store_true", help="exactly once; the receiver needs it too")
    parser.add_argument("--state", metavar="FILE", type=Path, help="with --ack: where to go on after a restart")
    parser.add_argument("--name", metavar="NAME", help="of this sender in the receiver's counts and logs")
    declare_connection(parser)
    return _serve


def declare_connection(parser: argparse.ArgumentParser) -> None:
    """The arguments that sender and receiver have in common."""
    parser.add_argument("--key", metavar="FILE", type=Path, help="own secret key (.key_secret), see headrace keygen")
    parser.add_argument(
        "--peer", metavar="FILE", type=Path, action="append", help="public key (.key) of the other side, or a folder"
    )
    parser.add_argument("--hwm", metavar="N", type=number(int, 1), default=50, help="datapoints under way (50)")
    parser.add_argument(
        "--timeout", metavar="S", type=number(float, 0, above=True), help="end when nobody is there for S seconds"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the counts to a file at the end")


def connection(args: argparse.Namespace) -> dict[str, Any]:
    """The same, as arguments of `send_dataflow_zmq` and `RemoteDataZMQ`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.json is not None:
        check_writable(args.json)
    return {
        "key": args.key, "peers": args.peer, "hwm": args.hwm, "timeout_s": args.timeout, "passes": args.passes,
        "ack": args.ack,
    }  # fmt: skip


@contextlib.contextmanager
def refusing_bad_arguments() -> Iterator[None]:
    """Addresses, keys and flows that cannot be used are the user's fault, and the error says how."""
    try:
        yield
    except ValueError as error:
        raise Refusal(str(error)) from None


def _serve(args: argparse.Namespace) -> int:
    from ..remote.replay import check_repeatable
    from ..remote.security import check_keys, parse_address
    from ..remote.sender import check_state_file, send_dataflow_zmq

    options = connection(args)
    if args.state is not None and not args.ack:
        raise Refusal("--state needs --ack")
    with refusing_bad_arguments():
        keys = check_keys(args.key, args.peer)[0] is not None
        parse_address("--at" if args.at else "--to", args.at or args.to, keys=keys, bind=args.at is not None)
        if args.state is not None:
            check_state_file(args.state, args.ack)
    flow = load_flow(args.target)
    if args.workers is not None:
        flow = _in_processes(flow, args.workers, args.ack)
    if args.ack:
        with refusing_bad_arguments():
            check_repeatable(flow)
    interrupted = False
    with blaming_user(f"{args.target} cannot be sent"), flow:
        try:
            result = send_dataflow_zmq(
                flow, args.to or args.at, bind=args.at is not None, name=args.name, state_file=args.state, **options
            )
        except RemoteError as error:
            raise Refusal(str(error)) from None
        except KeyboardInterrupt as error:
            if not error.args:  # before there was a sender
                raise
            (result,), interrupted = error.args, True
    print(f"sent {result.datapoints:,} datapoints, {result.nbytes:,} bytes, in {result.passes:,} passes")
    if interrupted:
        print("interrupted: the figures are of what was sent until then", file=sys.stderr)
    if args.json is not None:
        write_json(args.json, {"interrupted": interrupted, **dataclasses.asdict(result)})
    return INTERRUPTED if interrupted else 0


def _in_processes(flow: DataFlow, workers: int, ack: bool) -> DataFlow:
    from ..parallel.runners import MultiProcessRunnerZMQ

    if ack and workers > 1:
        from ..remote.in_turn import InTurn

        return InTurn(flow, workers)
    return MultiProcessRunnerZMQ(flow, workers, shard=True)

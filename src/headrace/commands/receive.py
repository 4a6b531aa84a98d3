"""``headrace receive``."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import sys
import time
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..errors import RemoteError, SerializationError
from ..observe.speed import Measurement, SpeedResult
from .arguments import number, write_json
from .explain import environment
from .serve import connection, declare_connection, refusing_bad_arguments
from .targets import INTERRUPTED, Refusal, Run

if TYPE_CHECKING:
    from ..remote.receiver import RemoteDataZMQ, SenderInfo

__all__ = ["receive"]

_WARMUP_S = 1.0


def receive(parser: argparse.ArgumentParser) -> Run:
    """Receive what senders send, count it, and throw it away: is everything connected, and how fast is it?

    Receives until Ctrl-C, unless --passes or --seconds is given, and shows what came from each sender. With --bench,
    also how many datapoints and bytes came in a second, after a second of warm-up.

    Example:
      $ headrace receive tcp://127.0.0.1:5555 --bench --seconds 10
      $ headrace receive tcp://127.0.0.1:5555 --passes 1 --senders 2 --json counts.json
      $ headrace receive tcp://*:5555 --key receiver.key_secret --peer keys
    """
    parser.add_argument("address", metavar="ADDRESS", help="tcp://HOST:PORT or ipc://PATH; senders connect to it")
    parser.add_argument("--connect", action="store_true", help="connect to a sender that binds, instead")
    parser.add_argument("--bench", action="store_true", help="measure the throughput")
    parser.add_argument("--seconds", metavar="S", type=number(float, 0, above=True), help="end after S seconds")
    parser.add_argument("--passes", metavar="N", type=number(int, 1), help="end after N passes of each sender")
    parser.add_argument("--senders", metavar="N", type=number(int, 1), help="with --passes: wait for N senders")
    parser.add_argument("--ack", action="store_true", help="exactly once; the senders need it too")
    declare_connection(parser)
    return _receive


def _receive(args: argparse.Namespace) -> int:
    from ..remote.receiver import RemoteDataZMQ

    if args.senders is not None and args.passes is None:
        raise Refusal("--senders needs --passes")
    with refusing_bad_arguments():
        remote = RemoteDataZMQ(args.address, bind=not args.connect, num_senders=args.senders, **connection(args))
    measurement = _plan(remote, args.seconds) if args.bench else None
    interrupted, failure = False, ""
    with remote:
        try:
            if measurement is not None:
                measurement.run()
            else:
                _drain(remote, args.seconds)
        except KeyboardInterrupt:
            interrupted = True
        except (RemoteError, SerializationError) as error:
            failure = str(error)
        senders = remote.senders
    speed = _speed(measurement)
    if measurement is not None and speed is None and not interrupted:
        failure = failure or f"nothing to measure: all that came came within the warm-up of {_WARMUP_S:g} s"
    if failure and not senders:
        raise Refusal(failure)
    Console().print(_table(senders))
    if speed is not None:
        print(speed)
    if interrupted:
        print("interrupted: the figures are of what came until then", file=sys.stderr)
    if args.json is not None:
        report = {
            **environment(args.address),
            "interrupted": interrupted,
            "senders": [dataclasses.asdict(s) for s in senders],
            "rejected": dict(remote.rejected),
            "speed": speed.to_dict() if speed is not None else None,
        }
        write_json(args.json, report)
    if failure:
        raise Refusal(failure)
    return INTERRUPTED if interrupted else 0


def _plan(remote: RemoteDataZMQ, seconds: float | None) -> Measurement:
    limit_s = seconds if seconds is not None else math.inf
    return Measurement(remote, None, sys.maxsize, limit_s=limit_s, warmup_limit_s=_WARMUP_S)


def _speed(measurement: Measurement | None) -> SpeedResult | None:
    """What was measured, if it was."""
    if measurement is not None:
        with contextlib.suppress(ValueError):
            return measurement.result()
    return None


def _drain(remote: RemoteDataZMQ, seconds: float | None) -> None:
    end = time.monotonic() + seconds if seconds is not None else math.inf
    for _ in remote:
        if time.monotonic() >= end:
            break


def _table(senders: list[SenderInfo]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("sender")
    for name in ("datapoints", "MB", "lost", "state"):
        table.add_column(name, justify="right")
    for s in senders:
        state = "ended" if s.ended else "there" if s.connected else "gone"
        table.add_row(s.name, f"{s.datapoints:,}", f"{s.nbytes / 1e6:,.1f}", f"{s.lost:,}", state)
    return table

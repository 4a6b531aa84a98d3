"""``headrace convert``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import DataFlowError, StateError
from ..flow import DataFlow
from ..formats.registry import FORMATS, Format, format_of
from ..formats.sharded import save_shards
from ..formats.urls import is_url
from .arguments import check_writable, number, write_json
from .targets import Refusal, Run, blaming_user, load_flow

__all__ = ["convert"]


def convert(parser: argparse.ArgumentParser) -> Run:
    """Write a data set in another format, or a pipeline to a file.

    IN is a file, a folder, a quoted pattern such as 'train-*.tar', or a pipeline named as module:attribute. OUT is a
    file; its ending tells the format (.lmdb .tfrecord .tar .jsonl .parquet .arrow .h5 .npz .npy .svm, or none for a
    folder of files). It appears when it is complete, and never replaces another one unasked. With --shards, OUT stands
    for several files, which --processes workers write side by side.

    Example:
      # pipeline.py
      import headrace as hr
      def make_flow():
          return hr.DataFromList([{"n": n, "text": f"number {n}"} for n in range(1000)], shuffle=False)

      $ headrace convert pipeline:make_flow numbers.lmdb
      $ headrace convert numbers.lmdb numbers.parquet --shards 4 --processes 2
      $ headrace convert 'numbers-*.parquet' numbers.tfrecord --codec example --json counts.json
    """
    parser.add_argument("source", metavar="IN", help="what to read: a file, a folder, a pattern, or module:flow")
    parser.add_argument("target", metavar="OUT", help="the file to write")
    parser.add_argument("--shards", metavar="N", type=number(int, 1), help="write N files (default: one)")
    parser.add_argument(
        "--processes", metavar="N", type=number(int, 1), default=1, help="how many files at a time (default: 1)"
    )
    parser.add_argument(
        "--codec",
        help="how datapoints become records: plain (default), pickle, or for TFRecord also example and bytes",
    )
    parser.add_argument(
        "--allow-pickle", action="store_true", help="read pickled records, which can run any code: tensorpack's are"
    )
    parser.add_argument(
        "--on-error", choices=("raise", "skip"), default="raise", help="what to do with records that cannot be read"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--resume", action="store_true", help="go on with what an earlier run has left unfinished")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what was done to a file as well")
    return _convert


def _convert(args: argparse.Namespace) -> int:
    if args.json is not None:
        check_writable(args.json)
    try:
        form = format_of(args.target)
    except ValueError as error:
        raise Refusal(str(error)) from None
    how = _how(args, form)
    users = _is_pipeline(args.source)
    try:
        flow = load_flow(args.source) if users else _open(args)
        with flow:
            if users:
                with blaming_user(f"{args.source} cannot be written to {args.target}"):
                    count = _save(args, flow, form, how)
            else:
                count = _save(args, flow, form, how)
    except (DataFlowError, OSError, TypeError, ValueError, ImportError) as error:
        raise Refusal("; ".join([_text(error), *map(_options, getattr(error, "__notes__", []))])) from None
    if not args.quiet:
        print(f"{count} datapoints written", file=sys.stderr)
    if args.json is not None:
        write_json(args.json, {"source": args.source, "target": args.target, "datapoints": count})
    return 0


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return _options(f"{error.filename}: {error.strerror}")
    return _options(str(error))


def _options(text: str) -> str:
    """An advice to callers, as one to users of the command."""
    for word in ("overwrite", "resume"):
        text = text.replace(f"{word}=True", f"--{word}")
    return text


def _is_pipeline(source: str) -> bool:
    return ":" in source and not os.path.lexists(source) and not is_url(source)


def _how(args: argparse.Namespace, form: Format) -> dict[str, Any]:
    if args.codec is not None and not form.has_codec:
        having = ", ".join(f.name for f in FORMATS if f.has_codec)
        raise Refusal(f"--codec: {form.name} has no codecs; these have: {having}")
    return {} if args.codec is None else {"codec": args.codec}


def _open(args: argparse.Namespace) -> DataFlow:
    form = format_of(args.source)
    how: dict[str, Any] = {}
    if args.allow_pickle:
        if not form.has_codec:
            raise Refusal(f"--allow-pickle: {form.name} files are not pickled")
        how["allow_pickle"] = True
    if args.on_error != "raise":
        if form.name == "npy":
            raise Refusal("--on-error: the rows of .npy files are all readable, or none is")
        how["on_error"] = args.on_error
    flow: DataFlow = form.load(args.source, shuffle=False, **how)
    len(flow)  # opens it, so that what is wrong with it is said before anything is written
    return flow


def _save(args: argparse.Namespace, flow: DataFlow, form: Format, how: dict[str, Any]) -> int:
    try:
        return _write(args, flow, form, {**how, "progress": not args.quiet, "overwrite": args.overwrite})
    except (FileExistsError, BlockingIOError, ImportError, StateError) as error:
        raise Refusal(_text(error)) from None


def _write(args: argparse.Namespace, flow: DataFlow, form: Format, how: dict[str, Any]) -> int:
    if args.shards is not None:
        return save_shards(flow, args.target, args.shards, args.processes, resume=args.resume, **how)
    if args.processes > 1:
        raise Refusal("--processes: one file is written by one process; --shards makes several files")
    if args.resume:
        if not form.resumes:
            raise Refusal(f"--resume: an unfinished {form.name} file cannot be gone on with; --shards makes small ones")
        how["resume"] = True
    return form.save(flow, args.target, **how)

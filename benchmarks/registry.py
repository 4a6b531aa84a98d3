"""Finds peers and workloads: a new one is a new file in its folder, nothing else has to change."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from benchmarks import peers as peers_package
from benchmarks import workloads as workloads_package
from benchmarks.environments import Environment
from benchmarks.model import Peer, Workload


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("_"):  # helpers that several files share
            continue
        yield importlib.import_module(f"{package.__name__}.{info.name}")


def peers() -> dict[str, Peer]:
    """Every system by name, headrace first: the others are compared with it."""
    found = {peer.name: peer for module in _modules(peers_package) for peer in getattr(module, "PEERS", ())}
    return dict(sorted(found.items(), key=lambda named: (named[1].environment != "headrace", named[0])))


def environments() -> dict[str, Environment]:
    """Every environment by name."""
    made = [module.ENVIRONMENT for module in _modules(peers_package) if hasattr(module, "ENVIRONMENT")]
    return {environment.name: environment for environment in made}


def workloads() -> dict[str, Workload]:
    """Every workload by name, in the order of the files' W numbers."""
    loaded = sorted(_modules(workloads_package), key=lambda module: module.ORDER)
    return {workload.name: workload for module in loaded for workload in module.WORKLOADS}

"""How many nodes can feed one trainer? ``python -m benchmarks.fan_in``.

A small simulation of `headrace.RemoteDataZMQ` and its senders, by arithmetic and events, not by sockets: N nodes make
batches, R receivers take them. Each node has ``hwm`` batches under way, acknowledged a quarter at a time. A receiver's
network link, and its one thread, serve one batch after the other; a round trip lies between taking and the next grant.
It prints where the limit lies: in the nodes, in a receiver's network link, in the window (``hwm``), or in the trainer.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    Attributes:
        nodes: how many senders.
        receivers: how many trainers, each with one receiver; nodes are shared out evenly.
        node_batches_s: batches that one node makes in a second.
        batch_bytes: size of a batch.
        link_bytes_s: what a receiver's network takes in a second.
        receive_s: processor time of the receiver for a batch (``python -m benchmarks.network`` measures it).
        train_batches_s: what one trainer takes in a second.
        hwm: batches of one node under way, at most.
        buffer_bytes: of all nodes together, but each may always have one batch.
        round_trip_s: of the network.
    """

    nodes: int
    receivers: int = 1
    node_batches_s: float = 20.0
    batch_bytes: int = 64 * 224 * 224 * 3
    link_bytes_s: float = 10e9 / 8
    receive_s: float = 5e-3
    train_batches_s: float = 100.0
    hwm: int = 8
    buffer_bytes: int = 1 << 30
    round_trip_s: float = 1e-3

    def limits(self) -> dict[str, float]:
        """Batches in a second, all receivers together, that each part allows at most."""
        fed = min(self.nodes, self.receivers)
        return {
            "nodes": self.nodes * self.node_batches_s,
            "network": fed * self.link_bytes_s / self.batch_bytes,
            "window": self.nodes * self.window / self.round_trip_s,
            "trainer": fed / (self.receive_s + 1 / self.train_batches_s),
        }

    @property
    def window(self) -> int:
        """Batches of one node under way, as the receiver grants them."""
        return max(1, min(self.hwm, self.buffer_bytes // (self.nodes_each * self.batch_bytes)))

    @property
    def nodes_each(self) -> int:
        """Nodes of one receiver."""
        return -(-self.nodes // self.receivers)

    @property
    def memory_bytes(self) -> int:
        """The most that lies at one receiver."""
        return self.nodes_each * self.window * self.batch_bytes


def simulate(setting: Setting, seconds: float = 20.0, seed: int = 0) -> tuple[float, float]:
    """Run one receiver and its nodes.

    Returns:
        Batches in a second, all receivers together, and the share of the time in which a trainer waits.
    """
    nodes, window = setting.nodes_each, setting.window
    chance = random.Random(seed)
    making = setting.node_batches_s
    events: list[tuple[float, int, int]] = [(chance.expovariate(making), 0, n) for n in range(nodes)]
    heapq.heapify(events)
    under_way = [0] * nodes  # sent, and not acknowledged
    owed = [0] * nodes  # taken, and not acknowledged
    blocked = [False] * nodes
    arrived: deque[int] = deque()
    link_free = trained_until = waited = 0.0
    taken, quarter = 0, max(1, window // 4)
    idle = True
    per_batch = setting.receive_s + 1 / setting.train_batches_s  # the same thread receives, and starts the next step
    while events and events[0][0] < seconds:
        now, kind, node = heapq.heappop(events)
        if kind == 0:  # a node has made a batch
            if under_way[node] == window:
                blocked[node] = True
                continue
            under_way[node] += 1
            link_free = max(now, link_free) + setting.batch_bytes / setting.link_bytes_s
            heapq.heappush(events, (link_free + setting.round_trip_s / 2, 1, node))
            heapq.heappush(events, (now + chance.expovariate(making), 0, node))
        elif kind == 1:  # a batch has arrived
            arrived.append(node)
            if idle:
                waited += now - trained_until
                idle = False
                heapq.heappush(events, (now + per_batch, 2, arrived.popleft()))
        elif kind == 2:  # a batch was received, decoded and trained on
            taken += 1
            trained_until = now
            owed[node] += 1
            if owed[node] == quarter or not arrived:
                heapq.heappush(events, (now + setting.round_trip_s / 2, 3, node))
            if arrived:
                heapq.heappush(events, (now + per_batch, 2, arrived.popleft()))
            else:
                idle = True
        else:  # an acknowledgement has come to a node
            under_way[node] -= owed[node]
            owed[node] = 0
            if blocked[node]:
                blocked[node] = False
                heapq.heappush(events, (now, 0, node))
    if idle:
        waited += seconds - trained_until
    return taken / seconds * min(setting.receivers, setting.nodes), waited / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, field in Setting.__dataclass_fields__.items():
        if name not in ("nodes", "receivers"):
            kind = type(field.default)
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=field.default, help="%(default)s")
    given = vars(parser.parse_args())
    print("| nodes | receivers | batches/s | trainers wait | limit | memory at a receiver |\n|---|---|---|---|---|---|")
    for nodes in (1, 10, 100, 1000):
        for receivers in sorted({1, max(1, nodes // 6), nodes // 2 or 1}):
            setting = Setting(nodes, receivers, **given)
            rate, waits = simulate(setting)
            limit = min(setting.limits().items(), key=lambda item: item[1])[0]
            memory = setting.memory_bytes / 1e9
            print(f"| {nodes:,} | {receivers:,} | {rate:,.0f} | {waits:.0%} | {limit} | {memory:.2g} GB |")


if __name__ == "__main__":
    main()

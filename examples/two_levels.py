"""Two levels: each node decodes in processes of its own, and only finished batches cross the network.

    python two_levels.py node tcp://trainer:5555 --key node1.key_secret --peer receiver.key     # on each node
    python two_levels.py trainer tcp://*:5555 --nodes 2 --key receiver.key_secret --peer keys   # where training runs

Within a node, images go from worker to parent through shared memory, and are stacked there as they are made. A batch is
one message on the network. Without --key both sides stay on this machine: ``tcp://127.0.0.1:5555``.
"""

import argparse

import numpy as np

import headrace as hr


def decode(n: int) -> list:
    """An "image" and its label. In life: read, decode, augment."""
    return [np.full((32, 32, 3), n % 256, np.uint8), n]


def make_flow(index: int, nodes: int, workers: int) -> hr.DataFlow:
    """The share of one node: files of its own, read by its own workers."""
    files = hr.DataFromList(range(index, 2_000, nodes), shuffle=True)
    return hr.MultiProcessMapAndBatchData(files, workers, decode, 50)


def node(args: argparse.Namespace) -> None:
    with make_flow(args.index, args.nodes, args.workers) as flow:
        print(hr.send_dataflow_zmq(flow, args.address, hwm=8, passes=args.passes, name=f"node{args.index}",
                                   key=args.key, peers=args.peer, timeout_s=60))  # fmt: skip


def trainer(args: argparse.Namespace) -> None:
    remote = hr.RemoteDataZMQ(args.address, hwm=8, passes=1, num_senders=args.nodes, key=args.key, peers=args.peer,
                              timeout_s=60)  # fmt: skip
    with remote:
        for epoch in range(args.passes):
            seen = np.concatenate([labels for images, labels in remote])
            print(f"epoch {epoch}: {len(seen)} images, {len(set(seen.tolist()))} different ones", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=["node", "trainer"])
    parser.add_argument("address")
    parser.add_argument("--nodes", type=int, default=1, help="how many there are")
    parser.add_argument("--index", type=int, default=0, help="which one this is, from 0")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--key")
    parser.add_argument("--peer")
    arguments = parser.parse_args()
    {"node": node, "trainer": trainer}[arguments.role](arguments)

"""What monitoring systems are told of each channel: name, text, and the field of `PoolStats`."""

from __future__ import annotations

__all__ = ["COUNTERS", "GAUGES"]

COUNTERS = {
    "datapoints_delivered": ("datapoints that left the channel", "delivered"),
    "tasks": ("tasks that came back", "tasks"),
    "result_bytes": ("size of the results that came in", "result_bytes"),
    "pull_seconds": ("time in which the input was read", "pull_s"),
    "give_seconds": ("time in which tasks were sent", "give_s"),
    "wait_seconds": ("time in which the consumer waited for workers", "wait_s"),
    "receive_seconds": ("time in which results were received", "receive_s"),
    "decode_seconds": ("time in which results were unpickled", "decode_s"),
    "consumer_seconds": ("time in the consumer's hands", "away_s"),
    "worker_busy_seconds": ("time in which workers were in user code", "work_s"),
    "worker_send_seconds": ("time in which workers sent results", "send_s"),
    "worker_idle_seconds": ("time in which workers waited for tasks", "idle_s"),
    "worker_cpu_seconds": ("processor time of workers", "cpu_s"),
    "workers_replaced": ("workers that died or hung", "replaced"),
    "datapoints_retried": ("datapoints that were given out again", "retried"),
    "datapoints_failed": ("datapoints that raised", "failed"),
    "datapoints_discarded": ("datapoints for which the function returned None", "discarded"),
}
GAUGES = {
    "workers": ("workers", "workers"),
    "datapoints_in_flight": ("datapoints between input and consumer", "in_flight"),
    "datapoints_done": ("those of them that have results", "done"),
    "done_bytes": ("the size of these", "done_bytes"),
    "arena_bytes": ("shared memory that results have needed", "arena_bytes"),
    "worker_memory_bytes": ("memory of the worker processes", "memory_bytes"),
}

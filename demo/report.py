"""The table, and what it says about this machine."""

from rich import box
from rich.console import Console
from rich.table import Table

from .measure import Result

# One run can't tell rates apart that differ by less.
TIE = 0.05
# On a quiet machine, the median pass is closer to the fastest.
UNSTEADY = 0.2

WHY_BEST = {
    "MultiThreadMapData": "OpenCV lets go of Python's interpreter lock while it decodes and resizes, "
    "and threads hand their images over without copying them",
    "MultiProcessMapData": "each process has an interpreter lock of its own, "
    "and only a path and a number are sent to it",
    "MultiProcessRunnerZMQ": "each process runs the whole pipeline on its own, and nothing is sent to it",
    "MultiProcessMapAndBatchData": "the workers put whole batches together, "
    "so that nothing is left to do in this process",
}


def print_report(console: Console, results: list[Result], workers: int, num_photos: int) -> None:
    console.print(_table(results, workers, num_photos))
    sentences = Table.grid(padding=(0, 1))
    for sentence in verdict(results, num_photos):
        sentences.add_row("•", sentence)
    console.print(sentences)


def _table(results: list[Result], workers: int, num_photos: int) -> Table:
    """Narrow enough for a terminal of 80 columns."""
    table = Table(
        title=f"{num_photos:,} photos: read, decode, crop to 224, flip, normalise, batch",
        caption=f"{workers} workers; best of {len(results[0].turns)} passes, the patterns taking turns",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("pattern", no_wrap=True)
    for heading in ("best\nimages/s", "median\npass", "speed-\nup", "CPU ms\n/image", "first\nbatch"):
        table.add_column(heading, justify="right", no_wrap=True)
    best = recommended(results)
    for result in results:
        table.add_row(*_cells(result, results[0]), style="bold green" if result is best else "")
    return table


def _cells(result: Result, plain: Result) -> list[str]:
    return [
        result.pattern.name,
        f"{result.rate:,.0f}",
        f"{result.median_rate:,.0f}",
        f"{result.rate / plain.rate:.2f}x",
        f"{result.cpu_ms:.2f}",
        f"{result.first_batch_s:.2f} s",
    ]


def ties(results: list[Result]) -> list[Result]:
    """The fastest pattern and those that this run can't tell from it."""
    top = max(results, key=lambda result: result.rate)
    return [one for one in results if _close(one, top)]


def _close(slower: Result, faster: Result) -> bool:
    return slower.rate >= (1 - TIE) * faster.rate


def recommended(results: list[Result]) -> Result:
    """Of those at the top: one that delivers each photo exactly once, for clearly less CPU time, or the fastest."""
    top = ties(results)
    candidates = [one for one in top if one.pattern.exact] or top
    least = min(one.cpu_ms for one in candidates)
    return max((one for one in candidates if one.cpu_ms <= (1 + TIE) * least), key=lambda one: one.rate)


def verdict(results: list[Result], num_photos: int) -> list[str]:
    sentences = [_advice(results), _about_threads(results), _about_the_runner(results, num_photos)]
    if any(result.median_rate < (1 - UNSTEADY) * result.rate for result in results):
        sentences.append("Median and best differ a lot: the machine is busy with other work, so better run it again.")
    return sentences


def _advice(results: list[Result]) -> str:
    plain, best = results[0], recommended(results)
    if best is plain:
        return "Take the plain loop here: no parallel pattern is clearly faster on this machine."
    name = best.pattern.name
    gain = f"{best.rate / plain.rate:.1f} times the plain loop: {WHY_BEST[name]}."
    others = [result.pattern.name for result in ties(results) if result is not best]
    if not others:
        return f"Take {name} here, {gain}"
    tie = f"This run can't tell its speed from that of {_join(others)}, {_tie_break(best, results)}."
    return f"Take {name} here, {gain} {tie}"


def _tie_break(best: Result, results: list[Result]) -> str:
    rivals = [one for one in ties(results) if one is not best and one.pattern.exact]
    if not rivals:
        return "but it delivers each photo exactly once"
    least = min(one.cpu_ms for one in rivals)
    if best.cpu_ms < (1 - TIE) * least:
        return f"but it takes less CPU time: {best.cpu_ms:.2f} ms for an image against {least:.2f}"
    return "nor are they far apart in CPU time: any of them will do"


def _about_threads(results: list[Result]) -> str:
    plain = results[0]
    threads = next(result for result in results if result.pattern.workers == "threads")
    top = max((result for result in results if result.pattern.workers == "processes"), key=lambda one: one.rate)
    figures = f"{threads.rate / plain.rate:.1f} times the plain loop against {top.rate / plain.rate:.1f}"
    if _close(*sorted((threads, top), key=lambda one: one.rate)):
        return f"Threads and processes do equally well ({figures}); with more Python in the map, take processes."
    if threads.rate > top.rate:
        return f"Threads beat processes ({figures}); more Python in the map turns this round, so measure yours."
    return (
        f"Threads fall behind the best of the processes ({figures}): "
        "the Python around OpenCV's calls, and the batching, take turns in one process."
    )


def _about_the_runner(results: list[Result], num_photos: int) -> str:
    runner = next(result for result in results if not result.pattern.exact)
    seen = runner.turns[-1]
    whole = all(turn.images == num_photos for result in results for turn in result.turns)
    delivered = "each photo exactly once a pass" if whole else "no photo twice in a pass"
    return (
        f"The other patterns delivered {delivered} (checked); {runner.pattern.name} runs "
        f"independent copies, and its last {seen.images:,} photos were {seen.different_photos:,} different "
        "ones: right for training, wrong for validation."
    )


def _join(names: list[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]

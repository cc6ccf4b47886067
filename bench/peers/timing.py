"""How long work takes on the device: the twin of runtime/timing/. Runs take turns on inputs of their own, so that no
run finds in a cache what the last one left there; nothing overlaps; clocks are warm."""

import time

import torch

# All sets together: several times the largest last-level cache of any GPU.
ENOUGH = 1 << 30
MOST_SETS = 16
# Runs that are timed where only the patience says how many, and how many are queued at once.
FEWEST, MOST, BATCH = 10, 1000, 20


def sets_for(bytes_a_set, device):
    if device != "cuda":
        return 2
    return max(2, min(MOST_SETS, -(-ENOUGH // max(1, bytes_a_set))))


def spread(values):
    ordered = sorted(values)

    def quantile(share):
        at = share * (len(ordered) - 1)
        below = int(at)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (at - below)

    return {"median": quantile(0.5), "p10": quantile(0.1), "p90": quantile(0.9)}


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def time_runs(run, sets, device, warm_up, patience):
    """Milliseconds of `run(*inputs)` for the inputs of `sets` in turn; `warm_up` and `patience` in milliseconds."""
    state = {"next": 0}

    def one():
        inputs = sets[state["next"] % len(sets)]
        state["next"] += 1
        return run(*inputs)

    for _ in sets:
        one()
    synchronize(device)
    begun, warm, each, host = time.perf_counter(), 0, float("inf"), 0.0
    batch = 1
    while warm == 0 or (time.perf_counter() - begun) * 1000 < warm_up:
        start = time.perf_counter()
        for _ in range(batch):
            one()
        host = (time.perf_counter() - start) / batch
        synchronize(device)
        each = min(each, (time.perf_counter() - start) * 1000 / batch)
        warm += batch
        batch = max(1, min(BATCH, int(20 / each)))
    runs = min(MOST, max(FEWEST, int(patience / each) + 1))
    times = cuda_times(one, runs, batch, host) if device == "cuda" else wall_times(one, runs)
    return {"milliseconds": spread(times), "runs": runs, "clock": "events" if device == "cuda" else "wall"}


def wall_times(one, runs):
    times = []
    for _ in range(min(runs, FEWEST)):
        start = time.perf_counter()
        one()
        times.append((time.perf_counter() - start) * 1000)
    return times


def cuda_times(one, runs, batch, host):
    """Events around every run. A sleeping kernel at the front of each batch gives the host a head start, so that the
    device never waits for Python; `host` is the seconds that the host takes to queue a run."""
    times = []
    for first in range(0, runs, batch):
        count = min(batch, runs - first)
        torch.cuda._sleep(int(min(0.3, 1.5 * host * count + 0.001) * 2e9))
        pairs = []
        for _ in range(count):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            one()
            end.record()
            pairs.append((start, end))
        torch.cuda.synchronize()
        times.extend(start.elapsed_time(end) for start, end in pairs)
    return times

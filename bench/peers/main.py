"""python3 main.py prepare|time FOLDER TASK…: PyTorch's side of the comparison. A task is ROW/PEER.

prepare: makes masks and compiles, one run each, so that the compilers' caches on disk are full; nothing is timed.
time: computes the sampled rows and times the fastest variant of each task. Lines of JSON on standard output."""

import gc
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def tell(kind, **fields):
    print(json.dumps({"kind": kind, **fields}), flush=True)


def why(error):
    if isinstance(error, peers.NotAvailable):
        return str(error)[:300]
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]


try:
    import torch

    import inputs
    import peers
    import timing
except Exception as error:  # without torch no task can be done, and each is told so
    for task in sys.argv[3:]:
        tell("failed", task=task, why=f"{type(error).__name__}: {error}"[:300])
    sys.exit(0)

DTYPES = {"f16": torch.float16, "f32": torch.float32}
TABLES = {"i32": torch.int32, "bool": torch.bool}


def device_name():
    return "cuda" if torch.cuda.is_available() else "cpu"


def facts(device):
    found = {"torch": torch.__version__, "python": sys.version.split()[0]}
    try:
        import triton

        found["triton"] = triton.__version__
    except Exception:
        pass
    if device == "cuda":
        found["cuda"] = torch.version.cuda
        found["cudnn"] = torch.backends.cudnn.version()
        found["gpu"] = torch.cuda.get_device_name()
    return found


def read_tables(folder, job, device):
    tables = {}
    for table in job["tables"]:
        with open(os.path.join(folder, table["file"]), "rb") as file:
            values = torch.frombuffer(bytearray(file.read()), dtype=TABLES[table["dtype"]])
        tables[table["name"]] = values.reshape(table["shape"]).to(device)
    return tables


def make_inputs(row, device):
    shape, dtype = row["shape"], DTYPES[row["dtype"]]
    keys = (shape["batch"], shape["keyHeads"], shape["keys"])
    return (
        inputs.tensor("q", (shape["batch"], shape["heads"], shape["queries"], shape["dim"]), dtype, device),
        inputs.tensor("k", (*keys, shape["dim"]), dtype, device),
        inputs.tensor("v", (*keys, shape["valueDim"]), dtype, device),
    )


def each_variant(task, job, folder, device, blocks, use):
    """Makes one variant after the other ready and has it used: `use(name, run)`. Errors stay with their variant; the
    first is raised where none was of use."""
    tables = read_tables(folder, job, device)
    problem, used = None, 0
    with torch.no_grad():
        for name, make in peers.variants(task.split("/")[1], job, tables, folder, device, blocks):
            try:
                use(name, make())
                used += 1
            except Exception as error:
                problem = problem or (f"{name}: " if name else "") + why(error)
                print(f"{task} {name}: {error}", file=sys.stderr, flush=True)
    if used == 0:
        raise peers.NotAvailable(problem or "no variant")


def prepare(task, job, folder, device, settings):
    start = time.perf_counter()
    first = make_inputs(job["row"], device)
    done = []

    def use(name, run):
        run(*first)
        timing.synchronize(device)
        done.append(name)

    each_variant(task, job, folder, device, settings["blocks"], use)
    return {"seconds": time.perf_counter() - start, "variants": done}


def measure(task, job, folder, device, settings):
    first = make_inputs(job["row"], device)
    # q, k, v and a result as large as q.
    size = sum(x.numel() * x.element_size() for x in (*first, first[0]))
    sets = [first] + [tuple(x.clone() for x in first) for _ in range(timing.sets_for(size, device) - 1)]
    picked = torch.tensor(job["rows"], device=device)
    tried = []

    def use(name, run):
        start = time.perf_counter()
        rows = run(*first).index_select(2, picked).float().contiguous().cpu()
        seconds = time.perf_counter() - start
        found = timing.time_runs(run, sets, device, settings["warmUp"], settings["patience"])
        tried.append({"variant": name, "firstRunSeconds": seconds, **found, "rows": rows})

    each_variant(task, job, folder, device, settings["blocks"], use)
    best = min(tried, key=lambda t: t["milliseconds"]["median"])
    file = f"{task.replace('/', '.')}.out.f32"
    with open(os.path.join(folder, file), "wb") as out:
        out.write(best["rows"].numpy().tobytes())
    others = [{key: t[key] for key in ("variant", "milliseconds", "firstRunSeconds")} for t in tried]
    return {
        "milliseconds": best["milliseconds"],
        "runs": best["runs"],
        "clock": best["clock"],
        "variant": best["variant"],
        "tried": others,
        "file": file,
    }


def main():
    mode, folder, *tasks = sys.argv[1:]
    with open(os.path.join(folder, "jobs.json")) as file:
        settings = json.load(file)
    jobs = {job["row"]["id"]: job for job in settings["jobs"]}
    device = device_name()
    tell("facts", facts=facts(device))
    for task in tasks:
        tell("start", task=task)
        job = jobs[task.split("/")[0]]
        try:
            result = (prepare if mode == "prepare" else measure)(task, job, folder, device, settings)
            tell("result", task=task, result=result)
        except Exception as error:
            tell("failed", task=task, why=why(error))
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()

"""What a newcomer waits for, and what a training needs of memory: `python tests/benchmarks/startup.py` (three minutes).

Seconds of `import minida` beside those of torch and torchvision, in turns; from `python run.py lab` to JupyterLab's
answer, to a kernel, and to the first trained step in it (environment ready, MiniCity not yet painted); the most
resident memory of a training of each method at the preset cpu.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
FIRST_STEP = """import minida
minida.train("supervised", "notebook", source="minicity:game", steps=1, eval_every=9, progress=False, callback=print)"""
MEMORY = """import minida, resource, tempfile
with tempfile.TemporaryDirectory() as folder:
    minida.train({method!r}, "cpu", steps=3, eval_every=3, out=folder + "/run", progress=False, **{options!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"""
METHODS = {
    "supervised": ("supervised", {}), "adversarial, DSC": ("adversarial", {"target": "minicity:real?n=64"}),
    "self-training, DARS": ("self-training", {"target": "minicity:real?n=64"}),
    "U2PL": ("u2pl", {"target": "minicity:real?n=64"}), "MPL, meta": ("mpl", {"target": "minicity:real?n=64"}),
}  # fmt: skip


def asked(code: str, **environment: str) -> float:
    """The number that a fresh Python prints last."""
    env = os.environ | environment
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return float(answer.stdout.split()[-1])


def imports(repeats: int = 7) -> dict[str, float]:
    """Median seconds of each import in a fresh process, in turns; the first turn fills the file cache."""
    modules = "torch", "torch, torchvision", "minida"
    rows = [[asked(IMPORT.format(module)) for module in modules] for _ in range(repeats + 1)][1:]
    return dict(zip(modules, map(statistics.median, zip(*rows, strict=True)), strict=True))


def first_step() -> dict[str, float]:
    """Seconds after the start of `run.py lab`: its answer, a kernel's first answer, the end of the first step."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ["--no-browser", f"--port={port}", "--IdentityProvider.token="]
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"MINIDA_CACHE": str(Path(folder) / "cache")}
        start = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "run.py", "lab", *flags], cwd=ROOT, env=env, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/lab", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.05)
            answered = time.perf_counter() - start
            return {"lab": answered, **in_kernel(folder, env, start)}
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def in_kernel(folder: str, env: dict[str, str], start: float) -> dict[str, float]:
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(env=env, cwd=folder)
    try:
        client.execute_interactive("1", timeout=60, output_hook=lambda _: None)
        ready = time.perf_counter() - start
        reply = client.execute_interactive(FIRST_STEP, timeout=300, output_hook=lambda _: None)
        assert reply["content"]["status"] == "ok", reply["content"]
        return {"kernel": ready, "first step": time.perf_counter() - start}
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def memory() -> dict[str, float]:
    """MiB of resident memory at most, the libraries (as `import minida` has them) included."""
    bare = "import minida, resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    found = {"import minida": asked(bare)}
    for name, (method, options) in METHODS.items():
        options = {"source": "minicity:game?n=64", **options}
        found[name] = asked(MEMORY.format(method=method, options=options))
    return found


def main() -> None:
    print(json.dumps({"imports": imports(), "first step": first_step(), "memory": memory()}, indent=1))


if __name__ == "__main__":
    main()

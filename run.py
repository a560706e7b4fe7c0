"""One door to the course: makes the environment .venv on the first start, then opens or tests the notebooks.

    python run.py lab      open the course in JupyterLab
    python run.py test     check the style, run all tests and all notebooks
    python run.py course   execute all notebooks without a browser; copies and HTML in build/course/
    python run.py explorer open the label explorer alone; with --static DIR as one page that needs no Python

Whatever follows the verb is passed on: `python run.py test -k bisenet`, `python run.py lab --port 9999`.
Standard library only, and no syntax newer than Python 3.6, so that an old Python can say that it is too old.
"""

import difflib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "minida-stamp.json"
OLDEST = (3, 11)
INSTALLING = "installing"
# else JupyterLab asks every newcomer whether to fetch news (--LabApp.news_url=None does not stop it from asking)
QUIET = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}


def venv_python():
    return str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def stop(message):
    print("run.py:", message, file=sys.stderr)
    sys.exit(2)


# ---- the environment


def fingerprint(version):
    """What an installed environment depends on; it is brought up to date when any of it changes."""
    text = (ROOT / "pyproject.toml").read_bytes()
    return {"pyproject": hashlib.sha256(text).hexdigest(), "python": version, "folder": str(ROOT)}


def read_stamp():
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        return stamp if isinstance(stamp, dict) else {}
    except (OSError, ValueError):
        return {}


def write_stamp(stamp):
    STAMP.parent.mkdir(exist_ok=True)
    part = STAMP.with_name(STAMP.name + ".part")
    part.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    os.replace(str(part), str(STAMP))


def probe():
    """Version of the environment's own Python as "3.12"; "" where there is none that starts."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        answer = subprocess.run([venv_python(), "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return ""
    return answer.stdout.decode().strip() if answer.returncode == 0 else ""


def complete(extra, stamp, version):
    """True if `extra` is installed (test contains course) and nothing has changed since."""
    same = all(stamp.get(key) == value for key, value in fingerprint(version).items())
    return same and bool({extra, "test"} & set(stamp.get("extras", [])))


def usable(stamp, version, uv):
    """False where it is safer to make the environment anew than to install into it."""
    if not version or tuple(map(int, version.split("."))) < OLDEST or stamp.get("state") == INSTALLING:
        return False
    # scripts and the editable install hold the folder's name; compiled packages fit one Python only
    if stamp.get("folder", str(ROOT)) != str(ROOT) or stamp.get("python", version) != version:
        return False
    return bool(uv) or subprocess.call([venv_python(), "-c", "import pip"], stderr=subprocess.DEVNULL) == 0


def create(uv):
    """Make an empty environment, marked as unfinished until the packages are in."""
    # started from inside the environment (an activated one), the Python beneath it must do the work
    base = getattr(sys, "_base_executable", None) or sys.executable
    if not uv and not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        stop(
            "this Python cannot make environments. On Debian or Ubuntu: sudo apt install python3-venv, "
            "then start again."
        )
    shutil.rmtree(str(VENV), ignore_errors=True)
    write_stamp({"state": INSTALLING})
    make = [uv, "venv", "--quiet", "--allow-existing", "--python", base] if uv else [base, "-m", "venv"]
    if subprocess.call([*make, str(VENV)]) != 0:
        stop("could not make the environment (see above). Delete the folder .venv and start again.")


def install(extras, uv, before):
    """Install the package in place with `extras`; a clean failure leaves the stamp as it was `before`."""
    what = ".[" + ",".join(sorted(extras)) + "]"
    start = [uv, "pip", "install", "--python", venv_python()] if uv else [venv_python(), "-m", "pip", "install"]
    write_stamp({"state": INSTALLING})
    code = subprocess.call([*start, "-e", what], cwd=str(ROOT))
    if code > 0:  # refused before anything changed; killed (< 0) or interrupted, half a package may be there
        write_stamp(before)
    if code != 0:
        stop(
            f"installing {what} failed (see above). The first start needs the network and 6 GB of disk: "
            "check the connection, a proxy (HTTPS_PROXY) and the free space, then start again."
        )


def prepare(extra):
    """Bring .venv up to date for `extra`; with nothing to do this costs one start of Python."""
    stamp, version = read_stamp(), probe()
    if complete(extra, stamp, version):
        return
    uv = shutil.which("uv")
    print("Preparing .venv with", "uv:" if uv else "pip:", "minutes the first time, nothing later.", flush=True)
    if not usable(stamp, version, uv):
        create(uv)
        stamp = {}
    extras = {extra} | set(stamp.get("extras", []))
    install(extras, uv, stamp)
    write_stamp(dict(fingerprint(probe()), extras=sorted(extras)))


# ---- the verbs


def call(module, *arguments):
    """Run a module in the environment; returns its exit code."""
    environment = dict(os.environ, PYTHONUTF8="1")
    process = subprocess.Popen([venv_python(), "-m", module, *arguments], cwd=str(ROOT), env=environment)
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code  # ended by a signal, as a shell would say it
        except KeyboardInterrupt:  # the module got it too, and may want to ask or to save first
            continue


def quiet():
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "overrides.json").write_text(json.dumps(QUIET), encoding="utf-8")


def lab(arguments):
    quiet()
    # the repository is the root, so that links from the notebooks to README.md and assets/ work
    options = ["--ServerApp.root_dir=" + str(ROOT)]
    first = sorted((ROOT / "notebooks").glob("00*.ipynb"))
    if first:
        options.append("--LabApp.default_url=/lab/tree/notebooks/" + first[0].name)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")  # containers and classroom servers
    return call("jupyterlab", *options, *arguments)


def test(arguments):
    named = any(not a.startswith("-") and (ROOT / a.split("::")[0]).exists() for a in arguments)
    style = 0
    if not named:
        style = max(call("ruff", "check", "."), call("ruff", "format", "--check", "."))
        arguments = ["tests", "notebooks", *arguments]
    notebooks = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
    tests = call("pytest", *notebooks, *arguments)
    if style and not tests:
        print("run.py: the tests passed, but ruff did not (see the top).")
    return tests or style


def course(arguments):
    return call("minida.teach.course", *arguments)


def explorer(arguments):
    quiet()
    return call("minida.teach.explorer", *arguments)


VERBS = {  # verb: (what it does, the extra of pyproject.toml that it needs, function)
    "lab": ("open the course in JupyterLab", "course", lab),
    "test": ("check the style, run all tests and all notebooks", "test", test),
    "course": ("execute all notebooks without a browser; copies and HTML in build/course/", "course", course),
    "explorer": ("open the label explorer alone (--static DIR: as one page without Python)", "course", explorer),
}


def usage():
    lines = [f"  {name:8} {verb[0]}" for name, verb in VERBS.items()]
    return "\n".join(["usage: python run.py VERB [arguments passed on]", "", *lines])


def main(arguments):
    if sys.version_info < OLDEST:
        found, needed = (".".join(map(str, v)) for v in (sys.version_info[:2], OLDEST))
        stop(f"Python {found} is too old, {needed} or newer is needed: https://www.python.org/downloads/")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    if name not in VERBS:
        close = difflib.get_close_matches(name, VERBS, n=1)
        hint = f", did you mean {close[0]!r}?" if close else "."
        stop(f"unknown verb {name!r}{hint}\n{usage()}")
    _, extra, function = VERBS[name]
    prepare(extra)
    return function(rest)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("\nrun.py: interrupted; the next start repairs what is half done.", file=sys.stderr)
        sys.exit(130)

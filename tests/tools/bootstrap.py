"""Builds .venv on a machine that has little more than a Python: the first step of every make target.

Standard library only. The syntax stays so old that any Python can parse this file and be refused in one
sentence instead of with a traceback: no annotations, no f-strings.
"""

import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
REQUIREMENTS = os.path.join(ROOT, "requirements-dev.txt")
OLDEST = (3, 11)


def refusal(version, maxsize):
    """The sentence for an interpreter that cannot run Plugside, or None.

    version: (major, minor, ...); maxsize: its sys.maxsize, which tells 32 from 64 bits.
    """
    remedy = "install one, or name one: make PYTHON=/path/to/python3.11"
    if tuple(version[:2]) < OLDEST:
        found = "%d.%d" % tuple(version[:2])
        return "Plugside needs Python 3.11 or newer and this is %s: %s." % (found, remedy)
    if maxsize < 2**32:
        return "Plugside needs a 64-bit Python and this one is 32-bit: %s." % remedy
    return None


def stamp_name(contents):
    """The name of the mark left in a finished environment, from the bytes it was made of."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return ".stamp-" + digest.hexdigest()[:16]


def venv_commands(python, uv):
    """The ways to make an empty environment, best first; uv is its path or None."""
    ways = [[python, "-m", "venv", VENV], [python, "-m", "venv", "--without-pip", VENV]]
    if uv:
        ways.append([uv, "venv", "--quiet", "--python", python, VENV])
    return ways


def installer_commands(python, uv):
    """The ways to install into it, best first, as (probe, command): a way is there if its probe succeeds.

    Debian's bare python3 has no ensurepip, so the environment may have no pip of its own: then a pip from
    outside (22.3 or newer, which knows --python) or uv serves.
    """
    quiet = ["--quiet", "--disable-pip-version-check"]
    own = [VENV_PYTHON, "-m", "pip"]
    outside = [python, "-m", "pip", "--python", VENV_PYTHON]
    ways = [(pip + ["--version"], pip + ["install"] + quiet) for pip in (own, outside)]
    if uv:
        ways.append(([uv, "--version"], [uv, "pip", "install", "--quiet", "--python", VENV_PYTHON]))
    return ways


def apt_commands(packages, is_root, sudo):
    """The commands that install Debian packages, or [] where we may not: neither root nor sudo (a path)."""
    if not is_root and not sudo:
        return []
    # -n: a sudo that would ask for a password fails at once instead of waiting for somebody.
    start = [] if is_root else [sudo, "-n"]
    start = start + [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-q",
        "-o",
        "DPkg::Lock::Timeout=120",
    ]
    return [start + ["update"], start + ["install", "-y", "--no-install-recommends"] + list(packages)]


def succeeds(command):
    """Run it silently and tell whether it could be run and exited 0."""
    try:
        with open(os.devnull, "r+b") as null:
            return subprocess.call(command, stdin=null, stdout=null, stderr=null) == 0
    except OSError:
        return False


def apt_install(packages):
    """Install Debian packages as root, else by sudo, and tell whether it worked."""
    commands = apt_commands(packages, os.geteuid() == 0, shutil.which("sudo"))
    if not commands or not shutil.which("apt-get"):
        return False
    print("Installing by apt: %s." % ", ".join(packages))
    sys.stdout.flush()
    # A failed update (stale or unreachable lists) does not settle it: the install's own result does.
    return [succeeds(command) for command in commands][-1]


def find_installer(python):
    """The command that installs into .venv, or None if there is no usable environment yet."""
    if not succeeds([VENV_PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]):
        return None
    for probe, command in installer_commands(python, shutil.which("uv")):
        if succeeds(probe):
            return command
    return None


def make_environment(python):
    """Make .venv by the first way that works and return its installer, or None."""
    for command in venv_commands(python, shutil.which("uv")):
        shutil.rmtree(VENV, ignore_errors=True)
        if succeeds(command):
            installer = find_installer(python)
            if installer:
                return installer
    shutil.rmtree(VENV, ignore_errors=True)
    return None


def ready_installer(python):
    """The installer of a usable .venv, made if need be (at worst by apt's help); else end with a sentence."""
    installer = find_installer(python)
    if installer:
        return installer
    print("Making .venv with %s." % python)
    sys.stdout.flush()
    package = "python%d.%d-venv" % sys.version_info[:2]
    installer = make_environment(python) or (apt_install([package]) and make_environment(python))
    if not installer:
        sys.exit(
            "This Python can make no virtual environment that packages can be installed into: "
            "install %s (Debian's name), or pip, or uv, and run make again." % package
        )
    return installer


def main():
    """Bring .venv up to date with the pinned requirements; no work when its stamp says it is."""
    sentence = refusal(sys.version_info, sys.maxsize)
    if sentence:
        sys.exit(sentence)
    contents = []
    for path in (REQUIREMENTS, os.path.join(ROOT, "pyproject.toml")):
        with open(path, "rb") as file:
            contents.append(file.read())
    stamp = os.path.join(VENV, stamp_name(contents))
    if os.path.exists(stamp) and succeeds([VENV_PYTHON, "-c", ""]):
        return
    # The base interpreter: were .venv activated, sys.executable would be the very thing we may rebuild.
    python = getattr(sys, "_base_executable", sys.executable)
    installer = ready_installer(python)
    print("Installing what requirements-dev.txt pins into .venv (a minute or two the first time).")
    sys.stdout.flush()
    project = ["--no-deps", "--no-build-isolation", "--editable", ROOT]
    for arguments in (["--require-hashes", "-r", REQUIREMENTS], project):
        if subprocess.call(installer + arguments):
            sys.exit("Setting up .venv failed for the reason above; a package index must be within reach.")
    for name in os.listdir(VENV):
        if name.startswith(".stamp-"):
            os.remove(os.path.join(VENV, name))
    open(stamp, "w").close()


if __name__ == "__main__":
    main()

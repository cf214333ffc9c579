"""The first minute on a new machine: what the bootstrap refuses and tries, and that CI lets no test skip."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import ROOT, lacks
from tests.tools import bootstrap

BITS_64 = 2**63 - 1
BITS_32 = 2**31 - 1


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 1), (3, 14, 0), (4, 0, 0)])
def test_a_python_that_is_new_enough_is_not_refused(version: tuple[int, ...]) -> None:
    assert bootstrap.refusal(version, BITS_64) is None


@pytest.mark.parametrize(
    ("version", "maxsize", "fault"),
    [
        ((2, 7, 18), BITS_64, "this is 2.7"),
        ((3, 10, 13), BITS_64, "this is 3.10"),
        ((3, 10, 13), BITS_32, "this is 3.10"),
        ((3, 11, 2), BITS_32, "32-bit"),
    ],
)
def test_any_other_is_refused_in_one_sentence_that_says_what_to_do(
    version: tuple[int, ...], maxsize: int, fault: str
) -> None:
    sentence = bootstrap.refusal(version, maxsize)
    assert fault in sentence
    assert "PYTHON=" in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_the_bootstrap_can_be_parsed_by_a_python_that_it_refuses() -> None:
    tree = ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Starred)
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, newer)] == []
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert [
        node.name for node in functions if node.returns or any(arg.annotation for arg in node.args.args)
    ] == []


def test_the_stamp_tells_apart_whatever_the_environment_was_made_of() -> None:
    stamps = [
        bootstrap.stamp_name(contents)
        for contents in ([b"a", b"b"], [b"ab", b""], [b"a", b"c"], [b"b", b"a"])
    ]
    assert len(set(stamps)) == len(stamps)
    assert bootstrap.stamp_name([b"a", b"b"]) == stamps[0]


def test_without_ensurepip_a_pip_from_outside_or_uv_serves() -> None:
    assert [way[2] for way in bootstrap.venv_commands("py", None)] == ["venv", "venv"]
    assert "--without-pip" in bootstrap.venv_commands("py", None)[1]
    assert bootstrap.venv_commands("py", "/bin/uv")[-1][:2] == ["/bin/uv", "venv"]
    own, outside, by_uv = (command for _, command in bootstrap.installer_commands("py", "/bin/uv"))
    assert own[0] == bootstrap.VENV_PYTHON
    assert outside[:5] == ["py", "-m", "pip", "--python", bootstrap.VENV_PYTHON]
    assert by_uv[0] == "/bin/uv"
    assert by_uv[-2:] == ["--python", bootstrap.VENV_PYTHON]
    assert len(bootstrap.installer_commands("py", None)) == 2


def test_apt_is_used_as_root_else_by_a_sudo_that_cannot_ask_else_not_at_all() -> None:
    as_root = bootstrap.apt_commands(["iproute2"], True, None)
    assert [command[0] for command in as_root] == ["env", "env"]
    assert as_root[-1][-1] == "iproute2"
    by_sudo = bootstrap.apt_commands(["iproute2"], False, "/usr/bin/sudo")
    assert by_sudo == [["/usr/bin/sudo", "-n", *command] for command in as_root]
    assert bootstrap.apt_commands(["iproute2"], False, None) == []


def test_a_need_that_no_list_has_is_an_error_and_not_a_silent_skip() -> None:
    with pytest.raises(LookupError, match=r"tests/needs\.py"):
        lacks("no-such-tool")


SKIPPING = """
import pytest

@pytest.mark.skip(reason="needs `anvil`")
def test_skipped(): ...

@pytest.mark.xfail(reason="known", strict=True)
def test_expected_failure(): assert False

def test_passes(): ...
"""


@pytest.mark.parametrize(
    ("ci", "source", "code", "closing"),
    [
        ("true", SKIPPING, 1, "1 passed, 1 xfailed, 1 error"),
        ("", SKIPPING, 0, "1 passed, 1 skipped, 1 xfailed"),
        ("true", "import pytest\npytest.importorskip('anvil')\n", 2, "1 error"),
    ],
)
def test_a_skip_is_a_failure_in_ci_and_named(
    tmp_path: Path, ci: str, source: str, code: int, closing: str
) -> None:
    (tmp_path / "test_it.py").write_text(source)
    options = [
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "-rs",
        "--rootdir",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert closing in done.stdout
    assert "anvil" in done.stdout

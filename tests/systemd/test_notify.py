"""common/notify.py against real datagram sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.notify import notify, watchdog_interval_s


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """What systemd holds: an unbound datagram socket, to be bound by the test."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.settimeout(30)
        yield bound


def test_a_message_arrives_as_it_was_written(manager: socket.socket, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    manager.bind(path)

    assert notify("READY=1\nSTATUS=2 chargers · ledger ✓", environ={"NOTIFY_SOCKET": path})

    assert manager.recv(4096).decode() == "READY=1\nSTATUS=2 chargers · ledger ✓"


def test_an_abstract_socket_is_reached(manager: socket.socket, tmp_path: Path) -> None:
    name = f"plugside-test{tmp_path}"  # abstract names are machine-wide; tmp_path is ours alone
    manager.bind("\0" + name)

    assert notify("WATCHDOG=1", environ={"NOTIFY_SOCKET": "@" + name})

    assert manager.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "environ",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative/path"}, {"NOTIFY_SOCKET": "vsock:2:1234"}],
    ids=["unset", "empty", "relative", "another kind"],
)
def test_nobody_to_tell_is_a_quiet_no(environ: dict[str, str]) -> None:
    assert notify("READY=1", environ=environ) is False


def test_a_manager_that_is_gone_is_a_quiet_no(manager: socket.socket, tmp_path: Path) -> None:
    path = tmp_path / "notify"
    assert notify("READY=1", environ={"NOTIFY_SOCKET": str(path)}) is False

    manager.bind(str(path))
    manager.close()  # the file stays, nobody listens
    assert notify("READY=1", environ={"NOTIFY_SOCKET": str(path)}) is False


def test_an_address_longer_than_the_kernel_takes_is_a_quiet_no(tmp_path: Path) -> None:
    assert notify("READY=1", environ={"NOTIFY_SOCKET": f"{tmp_path}/{'x' * 200}"}) is False


def test_a_manager_that_reads_nothing_holds_nobody_for_long(manager: socket.socket, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    manager.bind(path)
    # The kernel queues net.unix.max_dgram_qlen messages (10 by default) and then makes the sender wait.
    sent = 0
    while notify("WATCHDOG=1", environ={"NOTIFY_SOCKET": path}):
        sent += 1
        assert sent < 100_000, "the queue never filled"

    assert sent > 0
    assert manager.recv(4096) == b"WATCHDOG=1"
    assert notify("WATCHDOG=1", environ={"NOTIFY_SOCKET": path}), "and with room again it is told again"


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "77"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "78"}, None),
        ({"WATCHDOG_USEC": "1"}, 0.0000005),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "٣"}, None),
    ],
)
def test_the_interval_is_half_of_what_the_manager_waits(
    environ: dict[str, str], interval_s: float | None
) -> None:
    assert watchdog_interval_s(environ, pid=77) == interval_s


def test_the_process_asked_about_is_this_one() -> None:
    environ = {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    assert watchdog_interval_s(environ) == 1.0

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _users(command: Any) -> None:
    assert command("users", "add", "bob").code == 0


def test_reserve_list_and_cancel(command: Any) -> None:
    done = command("reserve", "attic", "--for", "bob", "--until", "+2h")
    assert done.code == 0, done.err
    assert done.out.startswith("reservation 1: attic for bob from ")
    assert done.err == "no live worker is called attic, and none has a GPU with that UUID\n"
    command("reserve", "GPU-1", "--label", "course", "--from", "22:00", "--until", "08:00")
    header, first, second = command("reservations").out.splitlines()
    assert header.split()[:3] == ["ID", "TARGET", "FOR"]
    assert first.split()[:3] == ["1", "attic", "bob"]
    assert second.split()[1:4] == ["GPU-1", "label", "course"]
    night = command("reservations", "--json").json[1]
    assert (night["starts_at"], night["active"]) < (night["ends_at"], True)
    assert command("reservations", "cancel", 1).out.startswith("cancelled reservation 1: attic")
    assert len(command("reservations", "--json").json) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--until", "+2h"), "Give either --for OWNER or --label LABEL;"),
        (("--for", "bob", "--label", "x", "--until", "+2h"), "Give either --for OWNER or --label"),
        (("--for", "bob", "--until", "soon"), "--until soon: write 22:00"),
        (("--for", "bob", "--until", "2020-01-01T10:00"), "--until 2020-01-01T10:00 is past"),
        (
            ("--for", "bob", "--from", "2099-01-01T10:00", "--until", "2099-01-01T09:00"),
            "--until 2099-01-01T09:00 is not after --from 2099-01-01T10:00",
        ),
        (("--for", "carol", "--until", "+2h"), "no user named 'carol'"),
    ],
)
def test_what_cannot_be_reserved(command: Any, arguments: tuple[str, ...], told: str) -> None:
    done = command("reserve", "attic", *arguments)
    assert done.code != 0
    assert told in done.err
    assert "Traceback" not in done.err


def test_members_reserve_nothing(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSEMILL_USER", "bob")
    done = command("reserve", "attic", "--for", "bob", "--until", "+2h")
    assert done.code == 1
    assert "bob may not reserve devices; only admins (ann) may" in done.complaint


def test_no_reservations(command: Any) -> None:
    assert command("reservations").err == "no reservations\n"

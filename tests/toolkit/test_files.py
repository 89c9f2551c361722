"""Files and folders that are private, replaced as a whole, and nowhere but where they belong."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.files import (
    make_private_file,
    make_private_folder,
    private_opener,
    replacing,
    safe_component,
    spelled_as_there,
    temporary_beside,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_private_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "a" / "b"
    make_private_folder(folder)
    make_private_file(folder / "empty")
    with open(folder / "log", "ab", opener=private_opener) as log:
        log.write(b"line")
    with replacing(folder / "whole", private=True) as file:
        file.write(b"whole")
    with replacing(folder / "exported") as file:
        file.write(b"exported")
    assert [mode(place) for place in (folder.parent, folder)] == [0o700, 0o700]
    assert {mode(folder / name) for name in ("empty", "log", "whole")} == {0o600}
    assert mode(folder / "exported") == 0o666 & ~umask


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path)
    assert mode(tmp_path) == 0o755
    (tmp_path / "file").write_bytes(b"kept")
    make_private_file(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"kept"
    with pytest.raises(NotADirectoryError):
        make_private_folder(tmp_path / "file")


def test_a_file_is_replaced_once_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_after_an_error_all_is_as_before(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with suppress(RuntimeError), replacing(target) as file:
        file.write(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_that_somebody_has_laid_is_not_followed(tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.write_bytes(b"mine")
    target = tmp_path / "target"
    for name in ("target", ".target.partial", "target.partial"):
        (tmp_path / name).symlink_to(linked)
    with replacing(target) as file:
        file.write(b"new")
    assert linked.read_bytes() == b"mine"
    assert target.read_bytes() == b"new"
    assert not target.is_symlink()
    with (
        pytest.raises(OSError, match="symbolic links"),
        open(tmp_path / "target.partial", "ab", opener=private_opener),
    ):
        pass


def test_names_of_temporary_files_differ_and_fit(tmp_path: Path) -> None:
    target = tmp_path / ("长" * 80)  # 240 bytes
    with temporary_beside(target, private=True) as one, temporary_beside(target, private=True) as b:
        assert one != b
        assert one.parent == b.parent == tmp_path


def test_a_folder_that_is_not_there_is_told_with_the_name_that_was_given(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"absent/target'$"),
        replacing(tmp_path / "absent" / "target"),
    ):
        pass


class TestSpelledAsThere:
    """Names of files may be composed (NFC) or decomposed (NFD), as what wrote them likes."""

    def test_a_decomposed_name_is_found_in_whatever_folder(self, tmp_path: Path) -> None:
        there = tmp_path / "Cafe\u0301" / "plain" / "Mu\u0308he.txt"
        there.parent.mkdir(parents=True)
        there.touch()
        assert spelled_as_there(tmp_path / "Caf\u00e9/plain/M\u00fche.txt") == there
        assert spelled_as_there(there) == there

    def test_a_relative_path_and_one_in_the_home_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "e\u0301.txt").touch()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert spelled_as_there(Path("\u00e9.txt")) == Path("e\u0301.txt")
        assert spelled_as_there(Path("~/\u00e9.txt")) == tmp_path / "e\u0301.txt"

    def test_the_name_as_written_goes_first(self, tmp_path: Path) -> None:
        for name in ("\u00e9.txt", "e\u0301.txt"):
            (tmp_path / name).touch()
            assert spelled_as_there(tmp_path / name) == tmp_path / name

    def test_what_is_not_there_stays(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for name in ("\u00e9", "file/\u00e9", "none/\u00e9", "e"):
            assert spelled_as_there(tmp_path / name) == tmp_path / name


@given(st.text())
def test_a_component_leads_nowhere_else(name: str) -> None:
    safe = safe_component(name)
    assert Path("/root", safe).resolve().parent == Path("/root")
    assert Path("/root", safe).name == safe
    assert len(safe.encode()) <= 201
    assert safe.isprintable()


@pytest.mark.parametrize("name", ["x/../../../etc", "..", ".", "", "a\0b", "/", "a\nb", "\ud800"])
def test_components_that_would_lead_elsewhere(name: str) -> None:
    assert Path("/root", safe_component(name)).resolve().parent == Path("/root")
    assert safe_component(name)


@pytest.mark.parametrize("name", ["3-小调", "3-a.b_c-d", "3-(draft)", "-x", ".hidden"])
def test_names_that_jobs_can_have_stay(name: str) -> None:
    assert safe_component(name) == name

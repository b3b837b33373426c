from __future__ import annotations

import pytest

from hepsilon._system.progress import progress_bar


@pytest.mark.parametrize("total", [10.0, None])
def test_bar_goes_to_standard_error_only(capfd, total):
    with progress_bar("counting", total) as advance:
        advance(4)
        advance()
        advance(0.0, note="half way")
    out, err = capfd.readouterr()
    assert out == ""
    assert "counting" in err
    assert "half way" in err


def test_bar_is_complete_at_the_end(capfd):
    """Also where a training stopped early."""
    with progress_bar("training", 10.0) as advance:
        advance(3.0)
    assert "10/10" in capfd.readouterr().err


def test_error_inside_gets_through(capfd):
    def interrupted():
        with progress_bar("training", 10.0) as advance:
            advance(3.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "10/10" not in capfd.readouterr().err


@pytest.mark.parametrize("silent", [{"show": False}, {}])
def test_bars_can_be_silenced(capfd, monkeypatch, silent):
    if not silent:
        monkeypatch.setenv("HEPSILON_PROGRESS", "0")
    with progress_bar("counting", 10.0, **silent) as advance:
        advance(4, note="half way")
    assert capfd.readouterr() == ("", "")

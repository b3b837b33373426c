from __future__ import annotations

from types import SimpleNamespace

import pytest

from hepsilon._system import progress
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


# in a notebook


@pytest.fixture
def notebook(monkeypatch):
    """Kernel of a notebook, and what its cell shows, in order."""
    display = pytest.importorskip("IPython.display")
    shown = []

    class Handle:
        def update(self, content):
            shown.append(content.data)

    def show(content, display_id):
        shown.append(content.data)
        return Handle()

    monkeypatch.setattr(display, "display", show)
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=object()))
    return shown


def test_a_notebook_shows_a_bar_in_place(capfd, notebook, monkeypatch):
    monkeypatch.setattr(progress, "PAUSE", -1.0)
    with progress_bar("training <a>", 10.0) as advance:
        advance(4, note="loss & more")
    assert capfd.readouterr() == ("", "")
    assert "0/10" in notebook[0]
    assert 'value="4" max="10"' in notebook[1]
    assert "training &lt;a&gt; 4/10" in notebook[1]
    assert "loss &amp; more" in notebook[1]
    assert "eta" in notebook[1]
    assert 'value="10"' in notebook[-1]
    assert "eta" not in notebook[-1]


def test_a_notebook_is_not_flooded(notebook):
    with progress_bar("counting", None) as advance:
        for _ in range(10_000):
            advance()
    assert len(notebook) < 100
    assert "10,000/?" in notebook[-1]
    assert "max" not in notebook[-1]


def test_a_terminal_of_ipython_is_no_notebook(capfd, notebook, monkeypatch):
    monkeypatch.setattr("IPython.get_ipython", SimpleNamespace)
    with progress_bar("counting", 1.0) as advance:
        advance()
    assert "counting" in capfd.readouterr().err
    assert notebook == []


def test_an_error_in_a_notebook_leaves_the_bar_where_it_was(notebook, monkeypatch):
    def broken():
        with progress_bar("training", 10.0) as advance:
            advance(3.0)
            raise KeyboardInterrupt

    monkeypatch.setattr(progress, "PAUSE", -1.0)
    with pytest.raises(KeyboardInterrupt):
        broken()
    assert "3/10" in notebook[-1]

"""Forks after the first call in the parent: they work, or say why not; none hangs."""

from __future__ import annotations

import os
import sys

import pytest

from tests.helpers.processes import python

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"), pytest.mark.slow]

CODE = """
import multiprocessing, os, sys, threading
from hepsilon import load
from hepsilon.efficiencies.loads import loads_here
from tests.helpers.toys import random_jets, rows

path, backend, method = sys.argv[1:]
jets = random_jets([2, 0, 3])

def answer(queue):
    handle = load(path, backend=backend)
    try:
        found = rows(handle(jets, out_of_domain="ignore"))
        loads = sum(count for each in loads_here().values() for count in each.values())
        queue.put((found.tolist(), loads))
    except Exception as error:
        queue.put((type(error).__name__, str(error)))

if __name__ == "__main__":
    context = multiprocessing.get_context(method)
    handle = load(path, backend=backend)
    expected = rows(handle(jets, out_of_domain="ignore"))
    queue = context.SimpleQueue()
    process = context.Process(target=answer, args=(queue,))
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
        sys.exit("the child hangs")
    found, rest = queue.get()
    if isinstance(found, str):
        print(found, rest)
    else:
        assert abs(expected - found).max() < 2e-6, (expected, found)
        print("equal", rest)
"""


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "tensorflow"])
def test_a_forked_process_answers_or_says_why_not(ensemble, backend: str) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    said = python(CODE, str(ensemble.path), backend, "fork", warnings="ignore")
    if backend == "tensorflow":
        assert said.startswith("ConfigError tensorflow has started in the parent")
    else:
        assert said.strip() == "equal 1"


LOCKED = """
import os, sys, threading, time
from hepsilon.efficiencies import network

inside, go_on = threading.Event(), threading.Event()

def load():
    with network._LOCK:
        inside.set()
        go_on.wait()

thread = threading.Thread(target=load)
thread.start()
inside.wait()
threading.Timer(0.3, go_on.set).start()
pid = os.fork()  # waits for the other thread
if pid == 0:
    os._exit(0 if network._LOCK.acquire(blocking=False) else 1)
thread.join()
print(os.waitpid(pid, 0)[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_fork_waits_for_the_first_call_of_another_thread() -> None:
    assert python(LOCKED, warnings="ignore").strip() == "0"

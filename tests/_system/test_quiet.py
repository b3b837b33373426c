"""What our commands leave out of standard error while TensorFlow starts."""

import os

import pytest

from hepsilon._system import quiet
from hepsilon._system.quiet import COMMAND, quiet_start

NOISE = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n",
    "I0000 00:00:1795603784.226888   15695 port.cc:153] oneDNN custom operations are on.\n",
    "I0000 00:00:1795603784.227852   15695 cudart_stub.cc:31] Could not find cuda drivers\n",
    "E0000 00:00:1.0 1 cuda_executor.cc:1228] INTERNAL: failed call to cuInit: UNKNOWN ERROR\n",
    "I0000 00:00:1.0 1 cpu_feature_guard.cc:210] This TensorFlow binary is optimized\n",
    "I0000 00:00:1.0 1 service.cc:156]   StreamExecutor device (0): Host, Default Version\n",
    "I0000 00:00:1.0 1 device_compiler.h:188] Compiled cluster using XLA!\n",
]
OTHERS = [
    "E0000 00:00:1.0 1 session.cc:12] out of memory\n",
    "Traceback (most recent call last):\n",
]


def write(lines):
    os.write(2, "".join(lines).encode())


def test_start_up_lines_are_left_out_and_all_others_are_kept(monkeypatch, capfd):
    monkeypatch.setenv(COMMAND, "1")
    monkeypatch.setattr(quiet, "has_nvidia_gpu", lambda: False)
    with quiet_start():
        write([*NOISE[:3], OTHERS[0], *NOISE[3:], OTHERS[1]])
    write(["after\n"])
    assert capfd.readouterr().err == "".join([*OTHERS, "after\n"])


def test_errors_of_a_gpu_that_is_there_are_kept(monkeypatch, capfd):
    monkeypatch.setenv(COMMAND, "1")
    monkeypatch.setattr(quiet, "has_nvidia_gpu", lambda: True)
    with quiet_start():
        write(NOISE)
    assert capfd.readouterr().err == NOISE[3]


def test_an_error_gets_through_with_what_was_written_before(monkeypatch, capfd):
    monkeypatch.setenv(COMMAND, "1")

    def fail():
        with quiet_start():
            write([NOISE[0], OTHERS[1]])
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == OTHERS[1]


def test_a_user_s_own_process_sees_everything(monkeypatch, capfd):
    monkeypatch.delenv(COMMAND, raising=False)
    with quiet_start():
        write(NOISE)
    assert capfd.readouterr().err == "".join(NOISE)

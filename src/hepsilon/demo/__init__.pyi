from .jets import NANOAOD_FILE, DemoResult, nanoaod_path, nanoaod_task, run_demo, toy_task

__all__ = [
    "NANOAOD_FILE",
    "DemoResult",
    "nanoaod_path",
    "nanoaod_task",
    "run_demo",
    "toy_task",
]

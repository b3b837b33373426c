"""Producers: what the decorator makes of a function, and how a task calls it."""


class Producer:
    """Base; functions are attached as methods, other arguments as attributes."""

    uses, produces = frozenset(), frozenset()
    mc_only = data_only = False

    @classmethod
    def requires(cls, func):
        cls.requires_func = func
        return func

    @classmethod
    def setup(cls, func):
        cls.setup_func = func
        return func

    def run_requires(self, task, reqs):
        self.requires_func(task=task, reqs=reqs)
        return reqs

    def run_setup(self, task, reqs, inputs, reader_targets):
        self.setup_func(task=task, reqs=reqs, inputs=inputs, reader_targets=reader_targets)

    def __call__(self, events, task):
        return self.call_func(events, task=task)


def producer(func=None, bases=(), mc_only=False, data_only=False, **kwargs):
    def decorator(func):
        content = {**kwargs, "call_func": func, "mc_only": mc_only, "data_only": data_only}
        return type(func.__name__, (*bases, Producer), content)

    return decorator(func) if func else decorator

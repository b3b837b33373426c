"""Networks behind a Triton inference server, for farms that serve models centrally."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.errors import ConfigError, RemoteError
from hepsilon.networks.graphs import MAX_ROWS, Neighbours, neighbour_batches, row_batches

__all__ = ["TritonEngine"]

MAX_PAIRS = 16384
"""Pairs of a request: a round trip costs more than what a small batch gains in a cache."""
IN_FLIGHT = 4
FEATURES = "features"
"""Name of the output with what the last layers see."""
FIRST_DELAY, LONGEST_DELAY = 1.0, 16.0
REMEDY = "Serve the model that was exported from this efficiency"
_URL = re.compile(r"triton\+(http|grpc)(s?)://([^/?]+)/([^/?]+)(?:/([^/?]*))?/?(?:\?(.*))?")
_UNAVAILABLE = {"429", "502", "503", "504", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
_UNKNOWN = {"404", "NOT_FOUND"}


class TritonEngine:
    """Forward pass of a network that a Triton server holds.

    Drop-in for :class:`hepsilon.efficiencies.engines.keras.Engine`, without Keras. Batches of
    events of equal multiplicity are sent, a few at a time; nothing is padded. The connection is
    made in each call, so an engine may be pickled, forked and shared between threads.

    The model takes ``x``, float32 (nodes, features), and, of networks that look at partners,
    ``senders``, int32 (nodes, partners). Its outputs are the logits (nodes, outputs) and, for
    replicas, ``features`` (nodes, n).

    Parameters
    ----------
    url : str
        ``triton+<http|grpc>://<address>/<model>/<version>`` as in coffea; ``https`` and ``grpcs``
        encrypt. Without a version the server's choice, which may change during a run. A query such
        as ``?timeout=60&retries=8`` goes before the parameters.
    outputs : int
        Number of logits of every object.
    has_edges : bool
        Whether the network looks at partners.
    features : int, default 0
        Number of columns of what the last layers see; 0 where that is not known.
    timeout : float, default 30.0
        Time until a request is given up, s.
    retries : int, default 5
        Number of repetitions of a request when the server is not reachable, is busy or times out,
        after 0.5 to 1, 1 to 2, ... 8 to 16 seconds.
    sleep : callable, default asyncio.sleep
        Coroutine function that waits for a number of seconds.

    Raises
    ------
    ConfigError
        For a URL of another form.
    """

    def __init__(
        self,
        url: str,
        *,
        outputs: int,
        has_edges: bool,
        features: int = 0,
        timeout: float = 30.0,
        retries: int = 5,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        match = _URL.fullmatch(url)
        if match is None:
            expected = "triton+<http|grpc>://<address>/<model>/<version>"
            raise ConfigError(f"{url!r} is not the URL of a model: expected {expected}")
        self.url, self.outputs, self.has_edges, self._sleep = url, outputs, has_edges, sleep
        self._protocol, self._secure, self._address, self._model, version, query = match.groups()
        self.features = features
        self.timeout, self.retries = _limits(url, query, timeout, retries)
        self._version = version or ""
        # name of the logits, rows of a request, and whether the model gives features
        self._served: tuple[str, int, bool] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_served": None}  # each process looks for itself

    def logits(self, offsets: Offsets, nodes: Nodes) -> Array:
        """Logits of every object; the caller has to judge those that are NaN or infinite.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Event i has the objects ``offsets[i]:offsets[i + 1]``.
        nodes : ndarray of float32, shape (n_objects, n_features)
            Raw features.

        Returns
        -------
        ndarray of float64, shape (n_objects, n_members * n_working_points)
            Logits in the order of ``nodes``; all working points of the first network come first.

        Raises
        ------
        RemoteError
            If the server is not reachable, or does not have a model that fits.
        ConfigError
            If tritonclient is not installed.
        """
        out = np.full((len(nodes), self.outputs), np.nan)
        if len(nodes):
            _run(self._fill([out], offsets, nodes))
        return out

    def with_features(
        self, offsets: Offsets, nodes: Nodes, networks: int
    ) -> tuple[Array, Array] | None:
        """Logits of every object, and what the last layers of the first networks see.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Event i has the objects ``offsets[i]:offsets[i + 1]``.
        nodes : ndarray of float32, shape (n_objects, n_features)
            Raw features.
        networks : int
            Number of networks; the model has the features of as many.

        Returns
        -------
        logits : ndarray of float64, shape (n_objects, n_members * n_working_points)
            Logits as from :meth:`logits`.
        features : ndarray of float32, shape (n_objects, n_networks * n_inputs)
            Derivatives of the logits (see :mod:`hepsilon.networks.last_layer`). None in place of
            both for a network without them.

        Raises
        ------
        RemoteError
            As from :meth:`logits`, or if the model on the server was exported without them.
        """
        if not self.features:
            return None
        out = np.full((len(nodes), self.outputs), np.nan)
        features = np.zeros((len(nodes), self.features), np.float32)
        if len(nodes):
            _run(self._fill([out, features], offsets, nodes))
        return out, features

    async def _fill(self, arrays: list[Array], offsets: Offsets, nodes: Nodes) -> None:
        session = _Session(self)
        async with session.client:
            if self._served is None:
                self._served = await session.check(nodes.shape[1])
            output, rows, knows_features = self._served
            names = [output, FEATURES][: len(arrays)]
            if len(arrays) > 1 and not knows_features:
                raise RemoteError(
                    f"{self.url}: the model on the server has no output {FEATURES!r} for replicas; "
                    "export it again, or ask for none (replicas=False)"
                )
            batches = row_batches(nodes, rows)
            if self.has_edges:
                batches = neighbour_batches(offsets, nodes, MAX_PAIRS)

            async def work() -> None:
                for batch in batches:  # shared: whoever is free takes the next
                    found = await session.infer(batch, names)
                    for array, values in zip(arrays, found, strict=True):
                        array[batch.index] = values

            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


def _limits(url: str, query: str | None, timeout: float, retries: int) -> tuple[float, int]:
    """Timeout and retries from the query of a URL, or else as given."""
    try:
        asked = dict(parse_qsl(query or "", keep_blank_values=True, strict_parsing=bool(query)))
        timeout = float(asked.pop("timeout", timeout))
        retries = int(asked.pop("retries", retries))
        if asked or not timeout > 0.0 or retries < 0:
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{url!r}: expected at most a positive timeout [s] and a number of retries, such as "
            f"?timeout=60&retries=8, received ?{query}"
        ) from None
    return timeout, retries


class _Session:
    """The requests of one call.

    coffea's ``triton_wrapper`` repeats rows up to one batch size and retries whatever went wrong,
    and its gRPC client cannot be told a timeout: so tritonclient is used directly.
    """

    def __init__(self, engine: TritonEngine) -> None:
        self.engine = engine
        self._rng = np.random.default_rng()  # not that of a pickle: workers must not retry in step
        self._api, self._lost = _client_library(engine._protocol)
        # a client of HTTP has a limit of its own
        limits = {"conn_timeout": engine.timeout} if engine._protocol == "http" else {}
        self.client = self._api.InferenceServerClient(
            engine._address, ssl=bool(engine._secure), **limits
        )

    async def check(self, features: int) -> tuple[str, int, bool]:
        """See whether the model takes and gives what it must: logits, rows at once, features."""
        engine = self.engine
        as_json = {"as_json": True} if engine._protocol == "grpc" else {}
        metadata = await self._ask("get_model_metadata", **as_json)
        wanted = [("x", "FP32", features)] + [("senders", "INT32", -1)] * engine.has_edges
        inputs = {tensor["name"]: tensor for tensor in metadata.get("inputs", [])}
        everything = metadata.get("outputs", [])
        outputs = [tensor for tensor in everything if tensor["name"] != FEATURES]
        fits = set(inputs) == {name for name, *_ in wanted} and all(
            _fits(inputs[name], kind, width) for name, kind, width in wanted
        )
        if not fits or len(outputs) != 1 or not _fits(outputs[0], "FP", engine.outputs):
            expected = ", ".join(f"{name} {kind} [-1, {width}]" for name, kind, width in wanted)
            raise RemoteError(
                f"{engine.url}: the model on the server is another one. Expected inputs {expected} "
                f"and one output [-1, {engine.outputs}]; found inputs {_named(inputs.values())} "
                f"and outputs {_named(outputs)}. {REMEDY}, or correct the URL"
            )
        config = await self._ask("get_model_config", **as_json)
        limit = int(config.get("config", config).get("max_batch_size", 0))
        if engine.has_edges and limit:
            raise RemoteError(
                f"{engine.url}: the server may join requests (max_batch_size is {limit}), but "
                "senders are rows of one request: logits would be wrong. Set max_batch_size: 0 in "
                "the model's configuration"
            )
        hidden = [tensor for tensor in everything if tensor["name"] == FEATURES]
        knows_features = bool(hidden) and _fits(hidden[0], "FP", engine.features)
        return outputs[0]["name"], min(limit, MAX_ROWS) or MAX_ROWS, knows_features

    async def infer(self, batch: Neighbours, names: list[str]) -> list[Array]:
        """Outputs of a batch by these names, each (nodes, columns)."""
        x = self._api.InferInput("x", list(batch.x.shape), "FP32")
        senders = self._api.InferInput("senders", list(batch.senders.shape), "INT32")
        x.set_data_from_numpy(batch.x)
        senders.set_data_from_numpy(batch.senders)
        answer = await self._ask(
            "infer",
            inputs=[x, senders] if self.engine.has_edges else [x],
            outputs=[self._api.InferRequestedOutput(name) for name in names],
        )
        found = []
        for name, width in zip(names, (self.engine.outputs, self.engine.features), strict=False):
            array: Array | None = answer.as_numpy(name)
            if array is None or array.shape != (len(batch.x), width):
                shape = None if array is None else array.shape
                raise RemoteError(
                    f"{self.engine.url}: output {name} has the shape {shape}, expected "
                    f"{(len(batch.x), width)}. {REMEDY}"
                )
            found.append(array)
        return found

    async def _ask(self, method: str, **arguments: Any) -> Any:
        """One request, repeated while the reason to fail may pass."""
        engine = self.engine
        name = {"model_name": engine._model, "model_version": engine._version}
        for attempt in range(engine.retries + 1):
            try:
                call = getattr(self.client, method)(**name, **arguments)
                return await asyncio.wait_for(call, engine.timeout)
            except Exception as error:  # whatever a network and its libraries can do
                if attempt == engine.retries or not self._may_pass(error):
                    # not as its cause: coffea would drop the chunk for an OSError
                    raise RemoteError(self._explain(error, attempt + 1)) from None
            delay = min(FIRST_DELAY * 2.0**attempt, LONGEST_DELAY)
            await engine._sleep(delay * self._rng.uniform(0.5, 1.0))
        raise AssertionError  # the last attempt returns or raises

    def _may_pass(self, error: Exception) -> bool:
        # a model that has answered before and is not there now is being loaded again
        passing = _UNAVAILABLE | (_UNKNOWN if self.engine._served else set())
        return isinstance(error, self._lost) or _status(error) in passing

    def _explain(self, error: Exception, attempts: int) -> str:
        if _status(error) in _UNKNOWN:
            problem = "no such model or version is ready on the server"
            remedy = "Correct the URL, or load the model"
        elif self._may_pass(error):
            problem = f"no answer in {attempts} attempts of at most {self.engine.timeout:g} s"
            remedy = "Check that the server runs and can be reached, or raise timeout or retries"
        else:
            problem = "the server refused a request, or is not a Triton server"
            remedy = f"See its log. {REMEDY}"
        what = f"{type(error).__name__} {error}".strip()
        return f"{self.engine.url}: {problem} ({what}). {remedy}"


def _client_library(protocol: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """Asynchronous tritonclient of a protocol, and its exceptions for a server that is lost."""
    lost: tuple[type[Exception], ...] = OSError, asyncio.TimeoutError
    try:
        if protocol == "grpc":
            import tritonclient.grpc.aio as api
        else:
            import aiohttp
            import tritonclient.http.aio as api

            lost += aiohttp.ClientConnectionError, aiohttp.ClientPayloadError
    except (ImportError, RuntimeError) as error:  # RuntimeError where a protocol is left out
        raise ConfigError(
            f"tritonclient with {protocol} is needed for a Triton server ({error}): "
            "pip install 'hepsilon[triton]'"
        ) from None
    return api, lost


def _status(error: Exception) -> str | None:
    """Status of an error of tritonclient, of HTTP or of gRPC."""
    status = getattr(error, "status", None)
    return str(status()).removeprefix("StatusCode.") if callable(status) else None


def _fits(tensor: Any, kind: str, width: int) -> bool:
    """Whether any number of rows of this type and width may be sent or received (-1: any)."""
    shape = [int(size) for size in tensor["shape"]]  # gRPC writes them as strings
    return tensor["datatype"].startswith(kind) and shape in ([-1, -1], [-1, width])


def _named(tensors: Iterable[Any]) -> str:
    parts = [f"{t['name']} {t['datatype']} [{', '.join(map(str, t['shape']))}]" for t in tensors]
    return ", ".join(parts) or "none"


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, also in a notebook, where this thread has a loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        here = True
    else:
        here = False
    if here:
        asyncio.run(work)
    else:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, work).result()

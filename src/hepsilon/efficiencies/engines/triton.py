"""Networks behind a Triton inference server, for farms that serve models centrally.

The URL of a model is ``triton+<http|grpc>://<address>/<model>/<version>`` and means what it means
to coffea's wrapper: gRPC is encrypted, HTTP is not. More is said in a query
(:mod:`hepsilon.efficiencies.engines.triton_url`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import numpy as np

from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.efficiencies.engines.products import multiplied
from hepsilon.efficiencies.engines.triton_url import TritonUrl
from hepsilon.errors import ConfigError, RemoteError
from hepsilon.networks.graphs import MAX_ROWS, Neighbours, neighbour_batches, row_batches

__all__ = ["TritonEngine"]

MAX_PAIRS = 16384
"""Pairs of a request: a round trip costs more than what a small batch gains in a cache."""
IN_FLIGHT = 4
PAIRS = "partners", "senders"
"""Names of the input with the partners: relative to the own row, or rows of the request."""
FEATURES = "features"
"""Name of the output with what the last layers see."""
FIRST_DELAY, LONGEST_DELAY = 1.0, 16.0
REMEDY = "Serve the model that was exported from this efficiency"
_UNAVAILABLE = {"429", "502", "503", "504"}
_UNAVAILABLE |= {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
_UNKNOWN = {"404", "NOT_FOUND"}
_FORBIDDEN = {"401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED"}


class TritonEngine:
    """Forward pass of a network that a Triton server holds.

    Drop-in for :class:`hepsilon.efficiencies.engines.keras.Engine`, without Keras. Batches of
    events of equal multiplicity are sent, a few at a time; nothing is padded. The connection is
    made in each call, so an engine may be pickled, forked and shared between threads.

    The model takes ``x``, float32 (nodes, features), and, of networks that look at partners,
    ``partners``, int32 (nodes, partners): rows of the partners relative to the node's own row, so
    that the server may join requests; or ``senders``, the rows themselves. Its outputs are the
    logits (nodes, outputs) and, for replicas, ``features`` (nodes, n).

    Parameters
    ----------
    url : str
        ``triton+<http|grpc>://<address>/<model>/<version>``, see
        :class:`hepsilon.efficiencies.engines.triton_url.TritonUrl`.
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
        self.place = TritonUrl.of(url, timeout, retries)
        self.url, self.outputs, self.has_edges, self._sleep = url, outputs, has_edges, sleep
        self.features = features
        self.timeout, self.retries = self.place.timeout, self.place.retries
        self._served: _Served | None = None

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
        self, offsets: Offsets, nodes: Nodes, networks: int, kernel: Array | None = None
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
        kernel : ndarray of float32, shape (n_networks * n_inputs, n_columns), optional
            What the features are multiplied with.

        Returns
        -------
        logits : ndarray of float64, shape (n_objects, n_members * n_working_points)
            Logits as from :meth:`logits`.
        features : ndarray of float32, shape (n_objects, n_networks * n_inputs)
            Derivatives of the logits (see :mod:`hepsilon.networks.last_layer`), or their product
            with the kernel. None in place of both for a network without them.

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
        return out, multiplied(features, kernel)

    async def _fill(self, arrays: list[Array], offsets: Offsets, nodes: Nodes) -> None:
        session = _Session(self)
        async with session.client:
            if self._served is None:
                self._served = await session.check(nodes.shape[1])
            served = self._served
            names = [served.output, FEATURES][: len(arrays)]
            if len(arrays) > 1 and not served.features:
                raise RemoteError(
                    f"{self.url}: the model on the server has no output {FEATURES!r} for replicas; "
                    "export it again, or ask for none (replicas=False)"
                )
            batches = row_batches(nodes, served.rows)
            if self.has_edges:
                batches = neighbour_batches(offsets, nodes, min(MAX_PAIRS, served.rows))

            async def work() -> None:
                for batch in batches:  # shared: whoever is free takes the next
                    found = await session.infer(batch, names)
                    for array, values in zip(arrays, found, strict=True):
                        array[batch.index] = values

            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


@dataclass(frozen=True)
class _Served:
    """What the model on the server takes and gives."""

    output: str
    rows: int
    features: bool
    pairs: str | None


class _Session:
    """The requests of one call.

    coffea's ``triton_wrapper`` repeats rows up to one batch size and retries whatever went wrong,
    and its gRPC client cannot be told a timeout: so tritonclient is used directly.
    """

    def __init__(self, engine: TritonEngine) -> None:
        self.engine = engine
        self._rng = np.random.default_rng()  # not that of a pickle: workers must not retry in step
        place = engine.place
        self._api, self._lost = _client_library(place.protocol)
        if "/" in place.model and place.protocol == "http":  # else the server takes it for a path
            self._api.quote = partial(quote, safe="")
        # a client of HTTP has a limit of its own
        limits = {"conn_timeout": engine.timeout} if place.protocol == "http" else {}
        self.client = self._api.InferenceServerClient(
            place.address, ssl=place.tls, **limits, **place.certificates()
        )
        headers = place.headers()  # tokens are renewed: they are read anew for each call
        self._headers = {"headers": headers} if headers else {}

    async def check(self, features: int) -> _Served:
        """See whether the model takes and gives what it must: logits, rows at once, features."""
        engine = self.engine
        as_json = {"as_json": True} if engine.place.protocol == "grpc" else {}
        metadata = await self._ask("get_model_metadata", **as_json)
        inputs = {tensor["name"]: tensor for tensor in metadata.get("inputs", [])}
        pairs = next((name for name in PAIRS if name in inputs), PAIRS[0])
        wanted = [("x", "FP32", features)] + [(pairs, "INT32", -1)] * engine.has_edges
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
        if engine.has_edges and limit and pairs == "senders":
            raise RemoteError(
                f"{engine.url}: the server may join requests (max_batch_size is {limit}), but "
                "senders are rows of one request: logits would be wrong. Export the model again, "
                "or set max_batch_size: 0 in its configuration"
            )
        hidden = [tensor for tensor in everything if tensor["name"] == FEATURES]
        return _Served(
            output=outputs[0]["name"],
            rows=min(limit, MAX_ROWS) or MAX_ROWS,
            features=bool(hidden) and _fits(hidden[0], "FP", engine.features),
            pairs=pairs if engine.has_edges else None,
        )

    async def infer(self, batch: Neighbours, names: list[str]) -> list[Array]:
        """Outputs of a batch by these names, each (nodes, columns)."""
        arrays = {"x": (batch.x, "FP32")}
        pairs = self.engine._served.pairs if self.engine._served else None
        if pairs is not None:
            own = np.arange(len(batch.x), dtype=np.int32)[:, None]
            rows = batch.senders if pairs == "senders" else batch.senders - own
            arrays[pairs] = rows, "INT32"
        inputs = []
        for name, (array, kind) in arrays.items():
            inputs.append(self._api.InferInput(name, list(array.shape), kind))
            inputs[-1].set_data_from_numpy(array)
        answer = await self._ask(
            "infer",
            inputs=inputs,
            outputs=[self._api.InferRequestedOutput(name) for name in names],
        )
        found = []
        for name, width in zip(names, (self.engine.outputs, self.engine.features), strict=False):
            values: Array | None = answer.as_numpy(name)
            if values is None or values.shape != (len(batch.x), width):
                shape = None if values is None else values.shape
                raise RemoteError(
                    f"{self.engine.url}: output {name} has the shape {shape}, expected "
                    f"{(len(batch.x), width)}. {REMEDY}"
                )
            found.append(values)
        return found

    async def _ask(self, method: str, **arguments: Any) -> Any:
        """One request, repeated while the reason to fail may pass."""
        engine = self.engine
        name = {"model_name": engine.place.model, "model_version": engine.place.version}
        for attempt in range(engine.retries + 1):
            try:
                call = getattr(self.client, method)(**name, **self._headers, **arguments)
                return await asyncio.wait_for(call, engine.timeout)
            except Exception as error:  # whatever a network and its libraries can do
                if attempt == engine.retries or not self._may_pass(error):
                    # not as its cause: coffea would drop the chunk for an OSError
                    raise RemoteError(self._explain(error, attempt + 1)) from None
            delay = min(FIRST_DELAY * 2.0**attempt, LONGEST_DELAY)
            await engine._sleep(delay * self._rng.uniform(0.5, 1.0))
        raise AssertionError  # the last attempt returns or raises

    def _may_pass(self, error: Exception) -> bool:
        if _is_forbidden(error) or _is_distrusted(error):
            return False
        # a model that has answered before and is not there now is being loaded again
        passing = _UNAVAILABLE | (_UNKNOWN if self.engine._served else set())
        return isinstance(error, self._lost) or _status(error) in passing

    def _explain(self, error: Exception, attempts: int) -> str:
        if _status(error) in _UNKNOWN:
            problem = "no such model or version is ready on the server"
            remedy = "Correct the URL, or load the model"
        elif _is_forbidden(error):
            problem = "the server asks for a token or header that it was not sent"
            remedy = "Name a file with it in the URL: ?token=FILE or ?headers=FILE"
        elif _is_distrusted(error):
            problem = "the certificate of the server is not trusted"
            remedy = "Name a file with the root certificates in the URL: ?ca=FILE"
        elif self._may_pass(error):
            problem = f"no answer in {attempts} attempts of at most {self.engine.timeout:g} s"
            remedy = "Check that the server runs and can be reached, or raise timeout or retries"
            if self.engine.place.tls and self.engine.place.protocol == "grpc":
                remedy += "; gRPC is encrypted unless the URL ends in ?tls=0"
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


def _is_forbidden(error: Exception) -> bool:
    """Whether the server wants to know who asks; Triton's gRPC calls that UNAVAILABLE."""
    return _status(error) in _FORBIDDEN or "restricted, expecting header" in str(error)


def _is_distrusted(error: Exception) -> bool:
    """Whether the encrypted connection failed for the server's certificate."""
    return "certificate verify failed" in str(error).lower().replace("_", " ")


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

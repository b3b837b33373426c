"""A server of models, faked below tritonclient; and real ones where there are any."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pickle
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest

from hepsilon import ConfigError, HepsilonError
from hepsilon.efficiencies.engines import triton as remote
from hepsilon.efficiencies.engines.triton import TritonEngine
from hepsilon.errors import RemoteError

HTTP = "triton+http://farm:8000/jets/1"
URLS = (HTTP, "triton+grpc://farm:8001/jets/1")
COUNTS = [3, 0, 1, 2, 3, 1, 2]
OFFSETS = np.concatenate([[0], np.cumsum(COUNTS)])
NODES = np.random.default_rng(3).normal(size=(sum(COUNTS), 4)).astype(np.float32)


def of_event(x, outputs):
    """What the fake network says of objects and their partners, here of one event."""
    total = x.sum(axis=0)
    return np.stack([x[:, 0] + k * (total - x)[:, 1] for k in range(1, outputs + 1)], axis=1)


def expected(outputs):
    events = np.split(NODES, OFFSETS[1:-1])
    return np.concatenate([of_event(x, outputs) for x in events])


def network(x, outputs, senders=None, partners=None):
    if senders is None:
        senders = np.zeros((len(x), 0), int) if partners is None else partners
        senders = senders + np.arange(len(x))[:, None]
    real = senders != np.arange(len(x))[:, None]
    partners = (x[:, 1][senders] * real).sum(axis=1)
    return np.stack([x[:, 0] + k * partners for k in range(1, outputs + 1)], axis=1)


def metadata(outputs=1, has_edges=True, shape=(-1, 4), pairs="senders"):
    inputs = [{"name": "x", "datatype": "FP32", "shape": list(shape)}]
    if has_edges:
        inputs.append({"name": pairs, "datatype": "INT32", "shape": ["-1", "-1"]})
    return {
        "name": "jets",
        "inputs": inputs,
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": ["-1", str(outputs)]}],
    }


class Refused(Exception):  # noqa: N818 - as tritonclient's
    def __init__(self, status, text="reason"):
        super().__init__(text)
        self._status = status

    def status(self):
        return self._status


class Input:
    def __init__(self, name, shape, datatype):
        self.name, self.shape, self.datatype = name, shape, datatype

    def set_data_from_numpy(self, array):
        assert list(array.shape) == self.shape
        assert array.dtype == {"FP32": np.float32, "INT32": np.int32}[self.datatype]
        self.array = array


class Server:
    """What a client of tritonclient reaches: answers, after the failures that it was given."""

    def __init__(self, outputs=1, has_edges=True, config=None):
        self.outputs, self.config = outputs, config or {}
        self.metadata = metadata(outputs, has_edges)
        self.failures, self.requests, self.slept, self.headers = [], [], [], []
        self.running = self.most_running = 0
        self.answer = lambda logits: logits

    async def sleep(self, seconds):
        self.slept.append(seconds)

    def engine(self, url=HTTP, **options):
        options = {"outputs": self.outputs, "has_edges": True, "sleep": self.sleep} | options
        return TritonEngine(url, **options)

    async def infer(self, arrays):
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        await asyncio.sleep(0.001 * (len(arrays["x"]) % 3))  # answers come in another order
        self.running -= 1
        if self.failures:
            failure = self.failures.pop(0)
            if failure == "silent":
                await asyncio.sleep(60)
            raise failure
        self.requests.append({name: array.shape for name, array in arrays.items()})
        return self.answer(network(**arrays, outputs=self.outputs))

    def client(self, protocol):
        server = self

        class Client:
            def __init__(self, url, ssl=False, conn_timeout=None, **certificates):
                assert (conn_timeout is None) == (protocol == "grpc")
                server.address, server.certificates = (url, ssl), certificates

            async def __aenter__(self):
                return self

            async def __aexit__(self, *error):
                pass

            async def get_model_metadata(self, model_name, model_version, headers=None, **as_json):
                server.headers.append(headers)
                assert as_json == ({"as_json": True} if protocol == "grpc" else {})
                server.name = model_name, model_version
                if isinstance(server.metadata, Exception):
                    raise server.metadata
                return server.metadata

            async def get_model_config(self, model_name, model_version, headers=None, **as_json):
                server.headers.append(headers)
                return {"config": server.config} if protocol == "grpc" else server.config

            async def infer(self, model_name, model_version, inputs, outputs, headers=None):
                server.headers.append(headers)
                assert outputs in (["logits"], ["logits", "features"])
                arrays = {i.name: i.array for i in inputs}
                found = {"logits": await server.infer(arrays), "features": arrays["x"][:, :3]}
                return SimpleNamespace(as_numpy={name: found[name] for name in outputs}.get)

        return Client


@pytest.fixture
def serve(monkeypatch):
    """Put a server behind tritonclient, which need not be installed."""
    monkeypatch.setattr(remote, "MAX_PAIRS", 6)

    def put(**options):
        server = Server(**options)
        for protocol in ("http", "grpc"):
            api = ModuleType(f"tritonclient.{protocol}.aio")
            api.InferenceServerClient = server.client(protocol)
            api.InferInput, api.InferRequestedOutput, api.quote = Input, str, quote
            server.apis = {**getattr(server, "apis", {}), protocol: api}
            package = ModuleType(f"tritonclient.{protocol}")
            package.aio = api
            for name, module in {
                "tritonclient": ModuleType("tritonclient"),
                package.__name__: package,
                api.__name__: api,
            }.items():
                monkeypatch.setitem(sys.modules, name, module)
        return server

    return put


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_every_object_gets_its_logits_in_order(serve, url, outputs):
    server = serve(outputs=outputs)
    logits = server.engine(url).logits(OFFSETS, NODES)
    assert logits.dtype == np.float64
    np.testing.assert_allclose(logits, expected(outputs), atol=1e-6)
    assert server.name == ("jets", "1")
    assert {"x": (2, 4), "senders": (2, 1)} in server.requests  # alone in their events
    assert 1 < server.most_running <= remote.IN_FLIGHT


def with_output(width):
    """Metadata of a model that gives what its last layers see."""
    found = metadata()
    found["outputs"].append({"name": "features", "datatype": "FP32", "shape": ["-1", str(width)]})
    return found


def test_features_come_with_the_logits(serve):
    server = serve()
    server.metadata = with_output(3)
    engine = server.engine(features=3)
    logits, features = engine.with_features(OFFSETS, NODES, 1)
    np.testing.assert_allclose(logits, expected(1), atol=1e-6)
    np.testing.assert_array_equal(features, NODES[:, :3])
    np.testing.assert_allclose(engine.logits(OFFSETS, NODES), expected(1), atol=1e-6)


def test_networks_without_a_covariance_have_no_features(serve):
    assert serve().engine().with_features(OFFSETS, NODES, 1) is None


@pytest.mark.parametrize("found", [metadata(), with_output(7)], ids=["none", "others"])
def test_a_model_without_features_is_refused_for_replicas_only(serve, found):
    server = serve()
    server.metadata = found
    engine = server.engine(features=3)
    np.testing.assert_allclose(engine.logits(OFFSETS, NODES), expected(1), atol=1e-6)
    with pytest.raises(RemoteError, match=r"no output 'features' for replicas; export it again"):
        engine.with_features(OFFSETS, NODES, 1)


def test_networks_without_edges_take_rows_only(serve):
    server = serve(has_edges=False, config={"max_batch_size": 5})
    logits = server.engine(has_edges=False).logits(OFFSETS, NODES)
    np.testing.assert_array_equal(logits[:, 0], NODES[:, 0])
    assert sorted(r["x"] for r in server.requests) == [(2, 4), (5, 4), (5, 4)]
    assert all(set(r) == {"x"} for r in server.requests)


def test_nothing_to_do_needs_no_server(monkeypatch):
    monkeypatch.setitem(sys.modules, "tritonclient", None)
    engine = TritonEngine(HTTP, outputs=2, has_edges=True)
    assert engine.logits(np.zeros(4, int), NODES[:0]).shape == (0, 2)


def test_nan_is_left_to_the_caller(serve):
    server = serve()
    server.answer = lambda logits: np.full_like(logits, np.nan)
    assert np.isnan(server.engine().logits(OFFSETS, NODES)).all()


@pytest.mark.parametrize(
    ("url", "address", "name"),
    [
        ("triton+http://farm/jets", ("farm", False), ("jets", "")),
        ("triton+https://farm/jets", ("farm", True), ("jets", "")),
        ("triton+grpcs://farm:443/jets/2/", ("farm:443", True), ("jets", "2")),
        ("triton+grpc://[::1]:8001/a-b/", ("[::1]:8001", True), ("a-b", "")),
        ("triton+grpc://farm:8001/jets/2?tls=0", ("farm:8001", False), ("jets", "2")),
        ("triton+http://farm/jets?tls=1", ("farm", True), ("jets", "")),
        ("triton+grpc://farm/btag/2018/gnn", ("farm", True), ("btag/2018/gnn", "")),
        ("triton+grpc://farm/btag/gnn/3", ("farm", True), ("btag/gnn", "3")),
        ("triton+http://farm/btag%2F2018/3", ("farm", False), ("btag/2018", "3")),
    ],
)
def test_urls(serve, url, address, name):
    server = serve()
    server.engine(url).logits(OFFSETS, NODES)
    assert (server.address, server.name) == (address, name)


def test_urls_mean_what_they_mean_to_coffea(serve):
    """Place, model, version and encryption, as coffea's wrapper reads them."""
    pytest.importorskip("tritonclient.grpc")
    wrapper = pytest.importorskip("coffea.ml_tools.triton_wrapper").triton_wrapper
    concrete = type("Wrapper", (wrapper,), {"prepare_awkward": None})
    server = serve()
    for url in ("triton+grpc://farm:8001/jets/1", "triton+http://farm:8000/jets/2"):
        theirs = concrete(url)
        server.engine(url).logits(OFFSETS, NODES)
        assert server.address == (theirs.address, theirs.client_args.get("ssl", False))
        assert server.name == (theirs.model, theirs.version)


def test_a_name_with_a_slash_is_one_part_of_the_path_of_http(serve):
    server = serve()
    server.engine("triton+http://farm/btag/gnn").logits(OFFSETS, NODES)
    assert server.apis["http"].quote("btag/gnn") == "btag%2Fgnn"


def test_requests_may_be_joined_where_partners_are_relative(serve):
    server = serve(config={"max_batch_size": 8})
    server.metadata = metadata(pairs="partners")
    logits = server.engine().logits(OFFSETS, NODES)
    np.testing.assert_allclose(logits, expected(1), atol=1e-6)
    assert all(set(request) == {"x", "partners"} for request in server.requests)


# being let in


def test_tokens_and_headers_go_with_every_request(serve, tmp_path):
    token, headers = tmp_path / "token", tmp_path / "headers.json"
    token.write_text("abc\n")
    headers.write_text('{"x-group": "btag"}')
    server = serve()
    url = f"triton+grpc://farm:8001/jets?token={token}&headers={headers}"
    engine = server.engine(url)
    engine.logits(OFFSETS, NODES)
    wanted = {"x-group": "btag", "authorization": "Bearer abc"}
    assert len(server.headers) > 3
    assert all(found == wanted for found in server.headers)
    token.write_text("def")  # tokens are renewed
    engine.logits(OFFSETS, NODES)
    assert server.headers[-1]["authorization"] == "Bearer def"
    assert "abc" not in repr(engine.__dict__)


def test_secrets_are_not_sent_in_the_clear(tmp_path):
    for url in ("triton+http://farm/jets?token=t", "triton+grpc://farm/jets?tls=0&headers=h"):
        with pytest.raises(ConfigError, match="not sent without encryption; use https or grpc"):
            TritonEngine(url, outputs=1, has_edges=True)
    TritonEngine("triton+http://127.0.0.1:8000/jets?token=t", outputs=1, has_edges=True)


@pytest.mark.parametrize("content", [None, "[1]", "{", '{"a": 1}'])
def test_headers_that_are_none_are_refused(serve, tmp_path, content):
    file = tmp_path / "headers.json"
    if content is not None:
        file.write_text(content)
    engine = serve().engine(f"triton+grpc://farm/jets?headers={file}")
    with pytest.raises(ConfigError, match=r"cannot be read|expected a JSON object of texts"):
        engine.logits(OFFSETS, NODES)


def test_root_certificates_reach_the_client(serve, tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("-----BEGIN CERTIFICATE-----")
    server = serve()
    server.engine(f"triton+grpc://farm/jets?ca={file}&cert={file}&key={file}").logits(
        OFFSETS, NODES
    )
    names = ("root_certificates", "certificate_chain", "private_key")
    assert server.certificates == dict.fromkeys(names, str(file))
    with pytest.raises(ConfigError, match="no certificates in PEM"):
        server.engine(f"triton+https://farm/jets?ca={file}").logits(OFFSETS, NODES)
    with pytest.raises(ConfigError, match="cannot be read"):
        server.engine("triton+grpc://farm/jets?ca=/nowhere").logits(OFFSETS, NODES)


@pytest.mark.parametrize(
    "url", ["http://farm/jets", "triton+ftp://farm/jets", "triton+http://jets"]
)
def test_other_urls_are_refused(url):
    with pytest.raises(ConfigError, match=r"expected triton\+<http\|grpc>://<address>"):
        TritonEngine(url, outputs=1, has_edges=True)


@pytest.mark.parametrize(
    ("url", "timeout", "retries"),
    [
        (HTTP, 30.0, 5),
        (f"{HTTP}?timeout=2.5", 2.5, 5),
        ("triton+grpc://farm:8001/jets?retries=0&timeout=60", 60.0, 0),
        ("triton+grpc://farm:8001/jets/?retries=7", 30.0, 7),
    ],
)
def test_timeout_and_retries_may_be_in_the_url(url, timeout, retries):
    engine = TritonEngine(url, outputs=1, has_edges=True)
    assert (engine.timeout, engine.retries) == (timeout, retries)
    assert (engine.place.address.split(":")[0], engine.place.model) == ("farm", "jets")


@pytest.mark.parametrize(
    "query",
    ["timeout=0", "timeout=nan", "timeout=a", "retries=-1", "retries=1.5", "wait=3", "x", "tls=2"],
)
def test_other_queries_are_refused(query):
    with pytest.raises(ConfigError, match=r"expected at most a positive timeout.*received \?"):
        TritonEngine(f"{HTTP}?{query}", outputs=1, has_edges=True)


def lost(number):
    return [ConnectionRefusedError("refused")] * number


@pytest.mark.parametrize(
    "failures",
    [
        lost(3),
        [Refused("StatusCode.UNAVAILABLE"), Refused("429"), Refused("504")],
        [Refused("503"), Refused("StatusCode.DEADLINE_EXCEEDED"), "silent"],
        [Refused("StatusCode.RESOURCE_EXHAUSTED")] * 3,
    ],
    ids=["lost", "busy", "slow", "exhausted"],
)
def test_what_may_pass_is_repeated(serve, monkeypatch, failures):
    monkeypatch.setattr(remote, "IN_FLIGHT", 1)
    server = serve()
    server.failures = list(failures)
    logits = server.engine(timeout=0.05).logits(OFFSETS, NODES)
    np.testing.assert_allclose(logits, expected(1), atol=1e-6)
    for delay, longest in zip(server.slept, (1.0, 2.0, 4.0), strict=True):
        assert longest / 2 <= delay <= longest


def test_workers_wait_for_different_times(serve):
    server = serve()
    for _ in range(2):
        server.failures = lost(1)
        pickle.loads(pickle.dumps(server.engine(sleep=record))).logits(OFFSETS, NODES)
    assert len(set(RECORDED)) == 2


RECORDED = []


async def record(seconds):
    RECORDED.append(seconds)


def test_a_server_that_stays_away_is_an_error_in_the_end(serve, monkeypatch):
    monkeypatch.setattr(remote, "IN_FLIGHT", 1)
    server = serve()
    server.failures = lost(100)
    with pytest.raises(
        RemoteError, match=r"no answer in 3 attempts of at most 30 s .*refused"
    ) as e:
        server.engine(retries=2).logits(OFFSETS, NODES)
    assert HTTP in str(e.value)
    assert "Check that the server runs" in str(e.value)
    assert not isinstance(e.value, OSError)
    assert len(server.slept) == 2
    assert str(pickle.loads(pickle.dumps(e.value))) == str(e.value)


@pytest.mark.parametrize("status", ["400", "500", "StatusCode.INVALID_ARGUMENT"])
def test_a_refusal_is_not_repeated(serve, status):
    server = serve()
    server.failures = [Refused(status, "unexpected shape")]
    with pytest.raises(RemoteError, match=r"refused a request.*unexpected shape"):
        server.engine().logits(OFFSETS, NODES)
    assert not server.slept


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        ("403", "This API is restricted, expecting header 'key'", r"token or header.*headers=FILE"),
        ("UNAUTHENTICATED", "no token", r"token or header.*\?token=FILE"),
        # as Triton 2.51 answers a client without the header, and gRPC one without its certificates
        ("UNAVAILABLE", "This protocol is restricted, expecting header 'k'", r"headers=FILE"),
        ("UNAVAILABLE", "SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED", r"not trusted.*\?ca=FILE"),
    ],
)
def test_the_remedy_of_what_no_repetition_mends(serve, status, text, said):
    server = serve()
    server.failures = [Refused(status, text)]
    with pytest.raises(RemoteError, match=said):
        server.engine().logits(OFFSETS, NODES)
    assert not server.slept


def test_a_model_that_is_not_there(serve):
    server = serve()
    server.metadata = Refused("404", "unknown model")
    with pytest.raises(RemoteError, match=r"no such model or version.*Correct the URL, or load"):
        server.engine().logits(OFFSETS, NODES)
    assert not server.slept


def test_a_model_that_is_loaded_again_is_waited_for(serve):
    server = serve()
    server.failures = [Refused("StatusCode.NOT_FOUND")]
    server.engine().logits(OFFSETS, NODES)
    assert len(server.slept) == 1


def test_what_is_no_triton_server(serve):
    server = serve()
    server.metadata = ValueError("not JSON")
    with pytest.raises(RemoteError, match=r"is not a Triton server .ValueError not JSON"):
        server.engine().logits(OFFSETS, NODES)


@pytest.mark.parametrize(
    "found",
    [
        metadata(outputs=2),
        metadata(has_edges=False),
        metadata(shape=(-1, 5)),
        metadata(shape=(16, 4)),
        metadata(shape=(-1, 4, 1)),
        metadata() | {"outputs": []},
        metadata() | {"outputs": metadata()["outputs"] * 2},
    ],
    ids=["outputs", "inputs", "features", "fixed", "axes", "no output", "two outputs"],
)
def test_another_model_is_refused(serve, found):
    server = serve()
    server.metadata = found
    wanted = r"Expected inputs x FP32 \[-1, 4\], (senders|partners) INT32 \[-1, -1\] and one output"
    with pytest.raises(RemoteError, match=rf"another one\. {wanted} .*; found inputs x FP32"):
        server.engine().logits(OFFSETS, NODES)
    assert not server.requests


def test_requests_that_the_server_may_join_are_refused(serve):
    server = serve(config={"max_batch_size": 8})
    with pytest.raises(RemoteError, match=r"max_batch_size is 8.*Export the model again"):
        server.engine().logits(OFFSETS, NODES)


@pytest.mark.parametrize("answer", [lambda x: x[1:], lambda x: x[:, 0], lambda x: None])
def test_logits_of_another_shape_are_refused(serve, answer):
    server = serve()
    server.answer = answer
    with pytest.raises(RemoteError, match=r"output logits has the shape .*, expected \(\d, 1\)"):
        server.engine().logits(OFFSETS, NODES)


def test_the_model_is_looked_at_once_per_process(serve):
    server = serve()
    engine = server.engine(sleep=record)
    engine.logits(OFFSETS, NODES)
    server.metadata = Refused("404")
    engine.logits(OFFSETS, NODES)
    with pytest.raises(RemoteError, match="no such model"):
        pickle.loads(pickle.dumps(engine)).logits(OFFSETS, NODES)


def test_where_a_loop_runs_already(serve):
    engine = serve().engine()

    async def notebook():
        return engine.logits(OFFSETS, NODES)

    np.testing.assert_allclose(asyncio.run(notebook()), expected(1), atol=1e-6)


@pytest.mark.parametrize("url", URLS)
def test_tritonclient_is_not_installed(monkeypatch, url):
    for name in ("tritonclient", "tritonclient.http.aio", "tritonclient.grpc.aio"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(HepsilonError, match=r"pip install 'hepsilon\[triton\]'"):
        TritonEngine(url, outputs=1, has_edges=True).logits(OFFSETS, NODES)


class Handler(BaseHTTPRequestHandler):
    """As much of Triton's HTTP as a network needs: see its protocol of binary tensors."""

    protocol_version = "HTTP/1.1"
    failures: tuple[str, ...] = ()

    def reply(self, content, status=200, header=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if header is not None:
            self.send_header("Inference-Header-Content-Length", str(header))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        found = {"max_batch_size": 0} if self.path.endswith("/config") else metadata()
        self.reply(json.dumps(found).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        failure = self.server.failures.pop(0) if self.server.failures else None
        if failure == "gone":
            self.close_connection = True
            return
        if failure == "silent":
            self.server.stop.wait(60)
        if failure:
            self.reply(b'{"error": "reason"}', 503 if failure == "busy" else 400)
            return
        size = int(self.headers["Inference-Header-Content-Length"])
        arrays, position = {}, size
        for tensor in json.loads(body[:size])["inputs"]:
            dtype = {"FP32": np.float32, "INT32": np.int32}[tensor["datatype"]]
            count = int(np.prod(tensor["shape"]))
            array = np.frombuffer(body, dtype, count, position) if count else np.zeros(0, dtype)
            arrays[tensor["name"]] = array.reshape(tensor["shape"])
            position += tensor["parameters"]["binary_data_size"]
        data = network(**arrays, outputs=1).astype(np.float32)
        output = {"name": "logits", "datatype": "FP32", "shape": data.shape}
        output["parameters"] = {"binary_data_size": data.nbytes}
        head = json.dumps({"model_name": "jets", "outputs": [output]}).encode()
        self.reply(head + data.tobytes(), header=len(head))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def http(monkeypatch):
    """URL of a server in this process, which tritonclient really talks to, and its failures."""
    pytest.importorskip("tritonclient.http.aio")
    monkeypatch.setattr(remote, "MAX_PAIRS", 6)
    monkeypatch.setattr(remote, "FIRST_DELAY", 0.001)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.failures, server.stop = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"triton+http://127.0.0.1:{server.server_port}/jets", server.failures
    server.stop.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("failures", [[], ["gone"], ["busy", "busy"], ["silent"]])
def test_tritonclient_over_http(http, failures):
    url, planned = http
    planned += failures
    logits = TritonEngine(url, outputs=1, has_edges=True, timeout=0.5).logits(OFFSETS, NODES)
    np.testing.assert_allclose(logits, expected(1), atol=1e-6)
    assert not planned


def test_errors_of_tritonclient_over_http(http):
    url, planned = http
    planned += ["refused"]
    with pytest.raises(RemoteError, match=r"refused a request.*reason"):
        TritonEngine(url, outputs=1, has_edges=True).logits(OFFSETS, NODES)
    planned[:] = ["busy"] * 100
    with pytest.raises(RemoteError, match=r"no answer in 2 attempts.*503"):
        TritonEngine(url, outputs=1, has_edges=True, retries=1).logits(OFFSETS, NODES)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_nobody_listens(monkeypatch, protocol):
    pytest.importorskip(f"tritonclient.{protocol}.aio")
    monkeypatch.setattr(remote, "FIRST_DELAY", 0.001)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    url = f"triton+{protocol}://127.0.0.1:{port}/jets"
    with pytest.raises(RemoteError, match="no answer in 2 attempts of at most 5 s"):
        TritonEngine(url, outputs=1, has_edges=True, retries=1, timeout=5).logits(OFFSETS, NODES)


@pytest.mark.skipif(
    "HEPSILON_TRITON_URL" not in os.environ,
    reason="HEPSILON_TRITON_URL names no model, such as triton+http://localhost:8000/jets, of "
    "four features, partners and one output (benchmarks/triton_server.py serves one)",
)
def test_a_real_server():
    """What is said of an object depends neither on the batch nor on the order of events."""
    engine = TritonEngine(os.environ["HEPSILON_TRITON_URL"], outputs=1, has_edges=True)
    logits = engine.logits(OFFSETS, NODES)
    assert np.isfinite(logits).all()
    for first, last in itertools.pairwise(OFFSETS):
        alone = engine.logits(np.array([0, last - first]), NODES[first:last])
        np.testing.assert_allclose(alone, logits[first:last], atol=1e-5)

"""URL of a model on a Triton server: its place, how long to wait, and how to be let in."""

from __future__ import annotations

import json
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from hepsilon.errors import ConfigError

__all__ = ["TritonUrl"]

_URL = re.compile(r"triton\+(http|grpc)(s?)://([^/?]+)/([^?]+)(?:\?(.*))?")
_LOCAL = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")
FILES = "ca", "cert", "key", "token", "headers"


@dataclass(frozen=True)
class TritonUrl:
    """A URL such as ``triton+grpc://farm:8001/btag/gnn/2?timeout=60&token=/run/token``.

    As in coffea, gRPC is encrypted and HTTP is not; ``https`` and ``grpcs`` always are. A number at
    the end of the path is the version; without one the server chooses, and its choice may change
    during a run. All before it is the name of the model, slashes included. Files are read on each
    call, in the worker: secrets stand in no handle and no log.

    Attributes
    ----------
    protocol : {"http", "grpc"}
        Protocol.
    address : str
        Host and port.
    model, version : str
        Name and version of the model; an empty version for the server's choice.
    tls : bool
        Whether the connection is encrypted; ``tls=0`` in the query for gRPC without.
    timeout : float
        Time until a request is given up, s.
    retries : int
        Number of repetitions of a request.
    files : tuple of (str, str)
        Files by what they are: ``ca``, root certificates (PEM) other than those of the system;
        ``cert`` and ``key``, the client's own; ``token``, a bearer token; ``headers``, a JSON
        object of headers of every request.
    """

    protocol: str
    address: str
    model: str
    version: str
    tls: bool
    timeout: float
    retries: int
    files: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, url: str, timeout: float = 30.0, retries: int = 5) -> TritonUrl:
        """Read a URL.

        Parameters
        ----------
        url : str
            The URL.
        timeout : float, default 30.0
            Time until a request is given up where the query does not say it, s.
        retries : int, default 5
            Number of repetitions where the query does not say it.

        Returns
        -------
        TritonUrl
            Its parts.

        Raises
        ------
        ConfigError
            For a URL of another form, or secrets without encryption.
        """
        match = _URL.fullmatch(url)
        parts = match[4].removesuffix("/").split("/") if match else [""]
        if match is None or not all(parts):
            expected = "triton+<http|grpc>://<address>/<model>/<version>"
            raise ConfigError(f"{url!r} is not the URL of a model: expected {expected}")
        protocol, secure, address, _, query = match.groups()
        version = parts.pop() if len(parts) > 1 and parts[-1].isdecimal() else ""
        asked = _query(url, query)
        try:
            timeout = float(asked.pop("timeout", timeout))
            retries = int(asked.pop("retries", retries))
            tls = {"0": False, "1": True}[
                asked.pop("tls", "01"[protocol == "grpc" or bool(secure)])
            ]
            if secure and not tls:
                raise ValueError
            if not timeout > 0.0 or retries < 0 or set(asked) - set(FILES):
                raise ValueError
        except (ValueError, KeyError):
            raise ConfigError(
                f"{url!r}: expected at most a positive timeout [s], a number of retries, tls=0 and "
                f"files {', '.join(FILES)}, such as ?timeout=60&retries=8, received ?{query}"
            ) from None
        if {"token", "headers"} & set(asked) and not tls and not _LOCAL.fullmatch(address):
            raise ConfigError(
                f"{url!r}: tokens and headers are not sent without encryption; use https or grpc"
            )
        model, files = unquote("/".join(parts)), tuple(sorted(asked.items()))
        return cls(protocol, address, model, version, tls, timeout, retries, files)

    def certificates(self) -> dict[str, Any]:
        """Arguments of tritonclient's clients with the certificates.

        Returns
        -------
        dict of str to object
            Empty without files.

        Raises
        ------
        ConfigError
            If a file cannot be used.
        """
        given = {name: path for name, path in self.files if name in ("ca", "cert", "key")}
        if not given:
            return {}
        for path in given.values():
            _read(path)
        if self.protocol == "grpc":
            names = {"ca": "root_certificates", "cert": "certificate_chain", "key": "private_key"}
            return {names[name]: path for name, path in given.items()}
        try:
            context = ssl.create_default_context(cafile=given.get("ca"))
            if "cert" in given:
                context.load_cert_chain(given["cert"], given.get("key"))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{given}: no certificates in PEM ({error})") from None
        return {"ssl_context": context}

    def headers(self) -> dict[str, str]:
        """Headers of the requests.

        Returns
        -------
        dict of str to str
            Empty without files.

        Raises
        ------
        ConfigError
            If a file cannot be read, or does not hold headers.
        """
        files = dict(self.files)
        found: dict[str, str] = {}
        if "headers" in files:
            try:
                given: Any = json.loads(_read(files["headers"]))
            except json.JSONDecodeError:
                given = None
            if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
                raise ConfigError(f"{files['headers']}: expected a JSON object of texts")
            found |= given
        if "token" in files:
            found["authorization"] = f"Bearer {_read(files['token']).strip()}"
        return found


def _query(url: str, query: str | None) -> dict[str, str]:
    try:
        pairs = parse_qsl(query or "", keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        pairs = [("", "")]
    return dict(pairs)


def _read(path: str) -> str:
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:  # not as it is: coffea would drop the chunk
        raise ConfigError(f"{path} of the URL of a Triton server cannot be read: {error}") from None

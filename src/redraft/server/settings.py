"""How a server is set up: where it listens, who may call, and how much it takes on."""

import ipaddress
from dataclasses import dataclass

from redraft.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Checked when made. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = ()  # none: no key is asked for
    allowed_hosts: tuple[str, ...] = ()  # names besides localhost, `host` and addresses that a Host header may hold
    allowed_origins: tuple[str, ...] = ()  # web pages of these origins may call (CORS)
    max_queue: int = 64  # choices that may wait beside those that run; more are answered 429
    max_body: int = 4 * 2**20
    header_timeout: float = 10.0  # for a request's headers to arrive
    body_timeout: float = 30.0  # for a request's body to arrive
    write_timeout: float = 60.0  # for a client to take what was sent before it counts as gone
    ping_interval: float = 10.0  # silence in a stream before a comment keeps it alive
    max_choices: int = 128  # choices of one request, over all its prompts
    shutdown_timeout: int = 30  # for running requests to finish when the server is told to stop

    def __post_init__(self):
        if not 0 <= self.port < 2**16:
            raise InvalidRequest(f"port={self.port}: want 0 to 65535")
        for name in ("max_queue", "max_body", "max_choices", "shutdown_timeout"):
            if getattr(self, name) < 1:
                raise InvalidRequest(f"{name}={getattr(self, name)}: want an integer >= 1")
        for name in ("header_timeout", "body_timeout", "write_timeout", "ping_interval"):
            if not getattr(self, name) > 0:
                raise InvalidRequest(f"{name}={getattr(self, name)}: want seconds > 0")
        if any(not key.strip() or not key.isascii() for key in self.api_keys):
            raise InvalidRequest("api_keys: want non-empty ASCII strings")
        if "*" in self.allowed_origins:
            raise InvalidRequest("allowed_origins='*': any page in any browser could call, name the origins instead")

    def allows_host(self, header: str) -> bool:
        """Whether a Host header names this server.

        A page that rebinds its own name to our address still sends that name; addresses cannot be rebound.
        """
        name = _without_port(header).lower().rstrip(".")
        if name in ("localhost", self.host.lower(), *(host.lower() for host in self.allowed_hosts)):
            return True
        return name.endswith(".localhost") or _is_address(name)


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] if header.count(":") == 1 else header


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

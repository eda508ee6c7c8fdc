"""Every setting, read from CARILLON_* once at start and passed on."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AmqpDsn,
    AnyHttpUrl,
    Field,
    PostgresDsn,
    RedisDsn,
    SecretStr,
    UrlConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.paging import DEFAULT_PAGE, MAX_PAGE
from domain.tenancy.model import MAX_TENANT, Role

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""That sign with one key and are verified with another: a key set may be public."""


class PostgresUrl(PostgresDsn):
    """Without a host it is a socket: `postgresql:///name?host=/folder`."""

    _constraints = UrlConstraints(allowed_schemes=["postgresql", "postgres"], host_required=False)


Origin = Annotated[str, Field(pattern=r"^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?$")]
"""As a browser writes it: no path, no capitals, no `/` at its end."""

SECRETS = Path("/run/secrets")
"""Where containers find secrets, each in a file. One named as a variable is read where that is not set."""
DEFAULT_HANDLERS = ("examples.handlers",)


class Settings(BaseSettings):
    """Durations are in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="CARILLON_",
        frozen=True,
        hide_input_in_errors=True,
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
    )

    # Where things are. No URL at all means embedded: everything in this process.
    database_url: PostgresUrl | None = None
    redis_url: RedisDsn | None = None
    amqp_url: AmqpDsn | None = None
    home: Path = Path(".carillon")
    namespace: str = Field(default="carillon", pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    tenant: str = Field(default="default", min_length=1, max_length=MAX_TENANT)
    environment: Literal["development", "production"] = "development"

    authentication: Literal["none", "required"] = "none"
    """Without, everyone who connects is an administrator of the tenant, and only this machine can connect."""
    jwt_key_set: str | None = None
    """A path, or a URL that starts with https; with it, JWTs are taken as well as tokens of ours."""
    jwt_issuer: str | None = Field(default=None, min_length=1)
    jwt_audience: str | None = Field(default=None, min_length=1)
    jwt_algorithms: Annotated[tuple[Algorithm, ...], NoDecode] = ("RS256", "ES256", "EdDSA")
    jwt_leeway: float = Field(default=30, ge=0, le=300)
    """How far the issuer's clock may be from ours."""
    jwt_tenant_claim: str | None = None
    """The claim that names the tenant; none means `tenant`."""
    jwt_owner_claim: str = "sub"
    """The claim that names the owner its bearer is bound to; none binds nobody."""
    jwt_role: Role = Role.VIEWER
    """Of those whose JWT names none."""
    jwt_role_claim: str | None = None

    documents: Literal["open", "apq", "trusted"] = "open"
    """Which are executed: any; any, and clients may register theirs; or the published alone."""

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1", "localhost", "[::1]")
    """Names GraphQL may be asked for by; `*` for any, `*.example.com` for those below one."""

    allowed_origins: Annotated[tuple[Origin, ...], NoDecode] = ()
    """Of pages elsewhere that may use GraphQL from a browser; none means those under our own names alone."""

    handlers: Annotated[tuple[str, ...] | None, NoDecode] = None
    """Modules that define handlers; absent means the examples outside production, else none."""

    # Logs and metrics
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    log_requests: float = Field(default=0.01, ge=0, le=1)
    """The share of requests to the API that are logged though they neither failed nor were slow."""
    metrics_host: str = "127.0.0.1"
    """Where a worker, scheduler, relay or notifier serves its metrics; the API has /metrics."""
    metrics_port: int | None = Field(default=None, ge=1, le=65_535)
    """Without it they are not served."""
    metrics_tenants: Annotated[tuple[str, ...], NoDecode, Field(max_length=50)] = ()
    """Tenants that have figures of their own, beside `tenant`; all others have theirs together."""

    # Traces
    otlp_endpoint: AnyHttpUrl | None = None
    """The URL of an OpenTelemetry collector, without `/v1/traces`; without it no spans are made."""
    trace_sample_ratio: float = Field(default=0.1, ge=0, le=1)
    """The share of traces that are told of, of those that begin here; a caller's are as the caller says."""

    # PostgreSQL and Redis
    database_pool: int = Field(default=10, ge=1, le=200)
    database_timeout: float = Field(default=1.8, gt=0)
    """How long one piece of work on PostgreSQL may take, connecting included."""
    cache_ttl: float = Field(default=60, gt=0)
    cache_timeout: float = Field(default=0.1, gt=0)

    # Breakers: of what is read from PostgreSQL, of Redis, of publishing, and of webhooks by tenant and origin
    breaker_failures: int = Field(default=5, ge=1)
    """In a row, after which a dependency is left alone: what needs it fails at once, or does without."""
    breaker_reset: float = Field(default=30, gt=0)
    """How long it is left alone before one call tries it, unless it gives a sign of life before."""
    breaker_successes: int = Field(default=2, ge=1)
    """In a row, after which it is used as before."""

    # What one operation may be
    introspection: bool | None = None
    """Whether the schema is told to whoever may ask; absent means in development, else to administrators."""
    max_document_characters: int = Field(default=100_000, ge=100)
    max_document_tokens: int = Field(default=2_000, ge=10)
    max_depth: int = Field(default=15, ge=1, le=50)
    max_aliases: int = Field(default=100, ge=0)
    max_root_fields: int = Field(default=100, ge=1)
    max_directives: int = Field(default=50, ge=0)
    max_list_items: int = Field(default=2_000, ge=1)
    max_list_items_in_all: int = Field(default=20_000, ge=1)
    max_cost: int = Field(default=50_000, ge=1)
    max_page: int = Field(default=MAX_PAGE, ge=DEFAULT_PAGE, le=MAX_PAGE)
    max_batch: int = Field(default=0, ge=0, le=100)
    """Operations that one request may hold; 0 takes no batches."""
    max_answer_bytes: int = Field(default=10_000_000, ge=100_000)
    """Of what one request, or one event of a subscription, is answered with, before it is compressed."""
    max_unread_bytes: int = Field(default=100_000_000, ge=100_000)
    """Of what is sent and not read yet, in all of an API process; beyond it connections are cut off."""
    operation_timeout: float = Field(default=20, gt=0)
    """How long a query or mutation may take."""
    budget: int = Field(default=1_000_000, ge=100, le=2**31 - 1)
    """Points that the operations of a tenant may cost, when none were spent for a while."""
    budget_refill: int = Field(default=100_000, ge=1, le=2**31 - 1)
    """Points that come back each second."""
    operation_rate: int = Field(default=5_000, ge=1, le=2**31 - 1)
    """Operations that a tenant may send each second, whatever they cost."""
    operation_burst: int = Field(default=50_000, ge=1, le=2**31 - 1)
    """And at once, when none were sent for a while: as many as all its sockets send that connect again."""

    # Backpressure: while more is due and not started, and the oldest for longer, no tasks are made over GraphQL
    overload_tenant_tasks: int = Field(default=5_000, ge=1)
    """Of one tenant."""
    overload_tasks: int = Field(default=50_000, ge=1)
    """Of all tenants together."""
    overload_seconds: float = Field(default=5, gt=0)

    # How many operations an API process executes at once: found out from how long they take. Who has less than
    # their part is let in beyond it
    api_concurrency_least: int = Field(default=16, ge=1)
    api_concurrency_most: int = Field(default=200, ge=1)
    api_unnoticed_latency: float = Field(default=0.1, ge=0)
    """What takes no longer is quick enough, whatever it would take unloaded; a high one lets all in."""

    # The engine
    worker_slots: int = Field(default=100, ge=1, le=10_000)
    worker_threads: int = Field(default=8, ge=1, le=64)
    lease: float = Field(default=30, gt=0)
    heartbeat: float = Field(default=10, gt=0)
    lease_margin: float = Field(default=5, gt=0)
    """A worker stops its handlers this long before its lease ends."""
    rescue_interval: float = Field(default=5, gt=0)
    handover_timeout: float = Field(default=15, gt=0)
    """A task handed over and not started for this long is handed over again."""
    cancel_grace: float = Field(default=30, gt=0)
    stop_grace: float = Field(default=10, ge=0)
    poll_interval: float = Field(default=1, gt=0)
    claim_batch: int = Field(default=500, ge=1, le=5_000)
    relay_batch: int = Field(default=500, ge=1, le=5_000)
    notifier_batch: int = Field(default=200, ge=1, le=5_000)
    flush_interval: float = Field(default=0.004, ge=0)
    """How long finished attempts are gathered before they are written together."""

    # How long what ended is kept, in days; parts of one are welcome
    retain_succeeded_days: float = Field(default=7, gt=0, le=36_500)
    retain_cancelled_days: float = Field(default=7, gt=0, le=36_500)
    retain_failed_days: float = Field(default=30, gt=0, le=36_500)
    """Failed tasks are the dead letters: they can be run again for as long."""
    retain_attempts_days: float = Field(default=30, gt=0, le=36_500)
    retain_notifications_days: float = Field(default=90, gt=0, le=36_500)
    retain_audit_log_days: float = Field(default=90, gt=0, le=36_500)
    prune_interval: float = Field(default=60, gt=0)
    """Between two looks for what is older."""

    # Live subscriptions
    tenant_connections: int = Field(default=10_000, ge=1)
    """Websockets and event streams that one tenant may have open with each API process."""
    tenant_subscriptions: int = Field(default=10_000, ge=1)
    """Subscriptions of one tenant that an API process executes: who asks for the same shares one. One whose
    document is not published counts once more for each 256 bytes of it and its variables."""
    live_backlog: int = Field(default=4_096, ge=1)
    """Events a subscriber may be behind before it is ended with RESYNC; subscribers share the events."""

    # Encryption at rest
    encryption_keys: SecretStr | None = None
    """`id:key`, or several with commas between: the first encrypts, the others still decrypt."""

    # Webhooks
    webhook_secret: SecretStr | None = None
    """Signs the webhooks their tenant has no secret for: `whsec_` and base64, as Standard Webhooks has it."""
    http_allow_insecure: bool = False
    http_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    http_timeout: float = Field(default=15, gt=0, le=60)

    @field_validator(
        "allowed_hosts",
        "allowed_origins",
        "handlers",
        "http_allowed_networks",
        "jwt_algorithms",
        "metrics_tenants",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _lease_outlives_a_missed_beat(self) -> Self:
        if 2 * self.heartbeat > self.lease - self.lease_margin:
            raise ValueError(
                "CARILLON_LEASE less CARILLON_LEASE_MARGIN must be at least twice CARILLON_HEARTBEAT"
            )
        return self

    @model_validator(mode="after")
    def _an_answer_can_be_read(self) -> Self:
        if self.max_unread_bytes < self.max_answer_bytes:
            raise ValueError("CARILLON_MAX_UNREAD_BYTES must be at least CARILLON_MAX_ANSWER_BYTES")
        return self

    @model_validator(mode="after")
    def _concurrency_has_a_range(self) -> Self:
        if self.api_concurrency_least > self.api_concurrency_most:
            raise ValueError("CARILLON_API_CONCURRENCY_LEAST must be at most CARILLON_API_CONCURRENCY_MOST")
        return self

    @model_validator(mode="after")
    def _attempts_are_kept_as_long_as_their_tasks(self) -> Self:
        tasks = max(self.retain_succeeded_days, self.retain_cancelled_days, self.retain_failed_days)
        if self.retain_attempts_days < tasks:
            raise ValueError("CARILLON_RETAIN_ATTEMPTS_DAYS must be at least as long as any tasks are kept")
        return self

    @model_validator(mode="after")
    def _an_operation_may_cost_no_more_than_there_is(self) -> Self:
        if self.max_cost > self.budget:
            raise ValueError("CARILLON_MAX_COST must be at most CARILLON_BUDGET")
        return self

    @model_validator(mode="after")
    def _jwts_are_checked_in_every_respect(self) -> Self:
        if self.jwt_key_set is None:
            return self
        if self.authentication == "none":
            raise ValueError("CARILLON_JWT_KEY_SET needs CARILLON_AUTHENTICATION=required")
        if self.jwt_issuer is None or self.jwt_audience is None:
            raise ValueError("CARILLON_JWT_KEY_SET needs CARILLON_JWT_ISSUER and CARILLON_JWT_AUDIENCE")
        if not self.jwt_algorithms:
            raise ValueError("CARILLON_JWT_ALGORITHMS must name one at least")
        if not _is_trusted(self.jwt_key_set, insecure=self.http_allow_insecure):
            raise ValueError("CARILLON_JWT_KEY_SET must be a path, or start with https://")
        return self

    @model_validator(mode="after")
    def _trusting_documents_alone_takes_knowing_who_asks(self) -> Self:
        if self.documents == "trusted" and self.authentication == "none":
            raise ValueError("CARILLON_DOCUMENTS=trusted needs CARILLON_AUTHENTICATION=required")
        return self

    @property
    def embedded(self) -> bool:
        return self.database_url is None

    @property
    def measured_tenants(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.tenant, *self.metrics_tenants)))

    @property
    def tells_schema_to(self) -> Literal["everyone", "administrators", "nobody"]:
        if self.introspection is False:
            return "nobody"
        if self.documents == "trusted":
            return "administrators"
        if self.introspection or self.environment == "development":
            return "everyone"
        # Without authentication everyone is an administrator.
        return "administrators" if self.authentication == "required" else "nobody"

    @property
    def handler_modules(self) -> tuple[str, ...]:
        if self.handlers is not None:
            return self.handlers
        return DEFAULT_HANDLERS if self.environment == "development" else ()


def _is_trusted(place: str, *, insecure: bool) -> bool:
    """Elsewhere, whoever is on the way could give other keys."""
    scheme, separator, _ = place.partition("://")
    if not separator or scheme == "https":
        return True
    return scheme == "http" and (insecure or urlsplit(place).hostname in {"127.0.0.1", "::1", "localhost"})

"""The configuration, typed and frozen. `docs/configuration.md` is rendered from these docstrings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, ValidationInfo, model_validator

from dozor.config.sections.alerts import AlertsConfig, OnCallConfig
from dozor.config.sections.base import Duration, Kind, PoolSize, Section, SetupReference, Timezone, UserIds
from dozor.config.sections.cluster import ClusterConfig
from dozor.config.sections.databases import NamedDatabase
from dozor.config.sections.supervision import DependencyConfig, LimitsConfig, SupervisionConfig
from dozor.config.sections.tasks import Isolation, TaskConfig
from dozor.config.sections.totp import TotpConfig
from dozor.config.source.interpolation import Reference
from dozor.config.source.problems import Place, line_of
from dozor.config.values import addresses, fields
from dozor.config.values.choices import Pooling as Pooling
from dozor.language import Language, msg
from dozor.language.process import from_setting

FIXED_CONNECTIONS = 2
"""Of every runner, outside the pools: the journal's, and the one that listens for commands."""


def _secret(parse: Callable[[object], str | None]) -> BeforeValidator:
    def validate(value: object) -> SecretStr | None:
        text = parse(value.get_secret_value() if isinstance(value, SecretStr) else value)
        return None if text is None else SecretStr(text)

    return BeforeValidator(validate)


@dataclass(frozen=True, slots=True)
class ChatTarget:
    """A chat, and a topic in it (None: no topic, or General)."""

    chat_id: int
    thread_id: int | None = None


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """`host` "": every interface. `port` 0: any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class PoolsConfig(Section):
    """Connections to the database, by use; one use cannot take those of another. They are opened when needed.

    The runner takes at most `checkers` + `core` + `web` + 2, one more for each of `dependencies` with a
    `query`, and `process` for each task with `isolation: process`: 20 with the defaults. The server's
    `max_connections` must be large enough; `dozor doctor` compares.
    """

    checkers: PoolSize = 10
    """For `ctx.db` of all checkers with `isolation` `inline` or `thread`."""

    core: PoolSize = 5
    """For Dozor itself: delivery, commands, the bot."""

    web: PoolSize = 3
    """For the status page, the API and the metrics."""

    process: PoolSize = 5
    """For `ctx.db` in the process of one task with `isolation: process`."""

    starved_after: Duration = 5.0
    """A run that waits longer for a connection of `ctx.db`, while other runs hold all of them, is an incident
    that names the holders.
    """

    acquire_timeout: Duration = 30.0
    """A run that waits longer for a connection of `ctx.db` fails with `PoolExhaustedError`."""

    @model_validator(mode="after")
    def _told_before_it_fails(self) -> Self:
        if self.starved_after > self.acquire_timeout:
            raise ValueError(msg("config-starved-after"))
        return self


class DatabaseConfig(Section):
    """The PostgreSQL that stores state, incidents and undelivered messages."""

    url: Annotated[
        SecretStr | None, _secret(addresses.parse_database_url), Kind("`embedded` or `postgresql://…`")
    ] = None
    """`embedded` starts a PostgreSQL of its own under `data_dir`; a URL uses that server.

    In the program: None means embedded.
    """

    data_dir: Path = Field(default=Path(".dozor/postgres"), validate_default=True)
    """Folder of the embedded server's data, relative to the config file."""

    pooling: Annotated[Pooling, Kind("`session`, `transaction`")] = Pooling.SESSION
    """`transaction`: `url` leads to a pooler that gives each transaction any free session, such as pgbouncer
    with `pool_mode = transaction`. Nothing is kept in a session then: statements are not cached, and LISTEN
    and the runner's lock go through `direct_url`. The same holds for `ctx.db`: no `SET`, session advisory
    locks, LISTEN or temporary tables. Without a pooler, or with `pool_mode = session`: `session`.
    """

    direct_url: Annotated[
        SecretStr | None, _secret(addresses.parse_direct_url), Kind("`postgresql://…`, or null")
    ] = None
    """With `pooling: transaction`: the same database past the pooler, for one or two connections. Without it
    (allowed with `cluster.enabled`) commands are looked for every 100 ms instead of by LISTEN.
    """

    pools: PoolsConfig = PoolsConfig()
    """How many connections are used for what."""

    @model_validator(mode="before")
    @classmethod
    def _absolute(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        folder = info.context["folder"] if info.context else Path.cwd()
        given = value.get("data_dir", cls.model_fields["data_dir"].default)
        if not isinstance(given, str | Path) or not str(given).strip():
            return value
        path = Path(given)
        if str(given).startswith("~/"):
            path = path.expanduser()
        return {**value, "data_dir": (folder / path).absolute()}


def _chat(value: object) -> ChatTarget | None:
    if isinstance(value, ChatTarget):
        return value
    target = fields.parse_chat(value)
    return None if target is None else ChatTarget(*target)


class LanguageChoice(StrEnum):
    """Whose language the bot answers in."""

    PER_PERSON = "per_person"
    CONFIG = "config"


class TelegramConfig(Section):
    """The bot: where alerts are sent, and who may give commands."""

    token: Annotated[SecretStr | None, _secret(addresses.parse_token), Kind("token from @BotFather")] = None
    """The bot's token. Empty: alerts go to the console, and commands come from the command line."""

    api_url: Annotated[str, BeforeValidator(addresses.parse_api_url), Kind("http(s) URL")] = (
        "https://api.telegram.org"
    )
    """The Bot API server; another one only if you run your own."""

    proxy: Annotated[
        SecretStr | None, _secret(addresses.parse_proxy), Kind("`http://`, `https://` or `socks5://` URL")
    ] = None
    """A proxy on the way to Telegram, HTTP or SOCKS5: `socks5://user:password@host:1080`. A SOCKS proxy
    resolves names as well (`socks5h://` says the same). Empty: none.
    """

    chat: Annotated[ChatTarget | None, BeforeValidator(_chat), Kind('chat id, or `"chat:topic"`')] = None
    """The chat alerts go to. Required with a token."""

    admins: UserIds = ()
    """Telegram ids of persons who may do everything."""

    operators: UserIds = ()
    """Telegram ids of persons who see everything and act on tasks and incidents."""

    viewers: UserIds = ()
    """Telegram ids of persons who only see."""

    commands: bool = True
    """false: alerts only, without buttons; updates are left to a bot of your own with the same token."""

    webhook: Annotated[str | None, BeforeValidator(addresses.parse_webhook), Kind("https URL, or null")] = (
        None
    )
    """Telegram sends updates to this address instead of being polled.

    A proxy before the runner must forward it to `web.listen`, path `/telegram`.
    """

    totp: TotpConfig | None = None
    """One-time codes for chosen commands."""

    language: Annotated[LanguageChoice, Kind("`per_person`, `config`")] = LanguageChoice.PER_PERSON
    """Of answers and menus: `per_person` is the language of each person's own Telegram, `config` that of the
    file, so that a group has one language.
    """


def _language(value: object, info: ValidationInfo) -> Language:
    if isinstance(value, Language):
        return value
    env = info.context["env"] if info.context else os.environ
    found = from_setting(value, env) if isinstance(value, str) else None
    if found is None:
        raise ValueError(msg("config-language", value="{value}"))
    return found


def _listen(value: object) -> ListenAddress | None:
    if isinstance(value, ListenAddress):
        return value
    address = addresses.parse_listen(value)
    return None if address is None else ListenAddress(*address)


def _state_dir(value: object, info: ValidationInfo) -> Path | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str | Path):
        raise ValueError(msg("config-state-dir"))
    folder = info.context["folder"] if info.context else Path.cwd()
    path = Path(value)
    return Path(folder / (path.expanduser() if str(value).startswith("~/") else path)).absolute()


def _hosts(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(
        isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", name) for name in names
    ):
        raise ValueError(msg("config-hosts"))
    return tuple(names)


class WebPublic(StrEnum):
    """What is shown without the token."""

    STATUS = "status"
    NOTHING = "nothing"


class WebConfig(Section):
    """Health, metrics and the status page over HTTP."""

    listen: Annotated[
        ListenAddress | None,
        BeforeValidator(_listen),
        Kind('`host:port`, `"[::1]:port"`, `:port` for every interface, or null'),
    ] = ListenAddress("127.0.0.1", 9464)
    """Where to listen; null or empty: no web server. Reading needs no password: keep it private."""

    token: Annotated[SecretStr | None, _secret(addresses.parse_web_token), Kind("text of 16 or more")] = None
    """With it the status page also acts on tasks and incidents, for whoever enters it. Empty: no actions."""

    public: WebPublic = WebPublic.STATUS
    """What is shown without `token`. `status`: everything but actions. `nothing`: `/healthz` and `/readyz`
    alone; browsers ask for a password then, which is the token, and programs send it as a bearer token.
    """

    hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts), Kind("list of host names")] = ()
    """Further names of this server that a request may have in its Host header. Numeric addresses,
    `localhost`, the name of the machine and those in `listen`, `public_url` and `telegram.webhook` are known.
    """

    public_url: Annotated[
        str | None, BeforeValidator(addresses.parse_public_url), Kind("http or https URL, or null")
    ] = None
    """Where people reach the status page. With it alerts carry a link to their task's page."""


class Config(Section):
    """A whole configuration file."""

    not_keys: ClassVar[frozenset[str]] = frozenset({"path"})

    path: Path
    """The file, absolute."""

    language: Annotated[Language, BeforeValidator(_language), Kind("`auto`, `ru` or `en`")] = Language.RU
    """Of log lines, errors, the command line, the page, alerts and the bot. `auto`: by the first of the
    variables LC_ALL, LC_MESSAGES and LANG that is set and not empty: `ru…` is Russian, anything else English.

    What other programs say (PostgreSQL, Telegram, the operating system), exceptions of your checkers and the
    words of JSON and metrics stay as they are.
    """

    timezone: Annotated[Timezone, Kind("name of a timezone", default="`UTC`")] = Field(
        default_factory=lambda: ZoneInfo("UTC")
    )
    """Of times in messages, and of `cron` where a task names none."""

    database: DatabaseConfig = Field(default_factory=lambda: DatabaseConfig.model_validate({}))
    """Where state, incidents and undelivered messages are stored."""

    telegram: TelegramConfig = TelegramConfig()
    """The bot."""

    alerts: AlertsConfig = AlertsConfig()
    """When people are alerted, and how."""

    oncall: OnCallConfig = OnCallConfig()
    """Who is on call."""

    web: WebConfig = WebConfig()
    """Health, metrics and the status page."""

    supervision: SupervisionConfig = SupervisionConfig()
    """How the runner monitors itself."""

    limits: LimitsConfig = LimitsConfig()
    """What the runner itself may use."""

    cluster: ClusterConfig = ClusterConfig()
    """Several processes on one database."""

    state_dir: Annotated[Path | None, BeforeValidator(_state_dir), Kind("folder, or null")] = None
    """Folder of the messages that an outage of the database keeps from being written there, relative to the
    config file. Null: `$STATE_DIRECTORY`, which systemd sets, else the folder that `database.data_dir` is in.
    """

    dependencies: Annotated[
        dict[str, DependencyConfig], BeforeValidator(lambda value: {} if value is None else value)
    ] = Field(default_factory=dict)
    """What tasks may require beside the database, by name."""

    databases: Annotated[
        dict[str, NamedDatabase], BeforeValidator(lambda value: {} if value is None else value)
    ] = Field(default_factory=dict)
    """Databases of your own for checkers, by name: `ctx.databases["shop"]`."""

    setup: SetupReference | None = None
    """An async context manager that is opened before the first run and closed at the end of the runner. Its
    value is `ctx.resources` of tasks without a `setup` of their own. See [your database](databases.md#setup).
    """

    tasks: tuple[TaskConfig, ...] = ()
    """In the order of the file."""

    _source: str = PrivateAttr(default="config.yaml")
    _lines: dict[Place, int] = PrivateAttr(default_factory=dict)
    _hints: tuple[str, ...] = PrivateAttr(default=())
    _filled: dict[Place, str] = PrivateAttr(default_factory=dict)
    _references: tuple[Reference, ...] = PrivateAttr(default=())

    @classmethod
    def known_keys(cls) -> list[str]:
        """With `defaults`, which the loader spreads over the tasks."""
        return [*super().known_keys(), "defaults"]

    @property
    def queried_dependencies(self) -> int:
        """How many of `dependencies` ask the database."""
        return sum(dependency.query is not None for dependency in self.dependencies.values())

    @property
    def connections(self) -> int:
        """The most connections to the database that a runner takes at once, its processes' included."""
        pools = self.database.pools
        processes = sum(task.enabled and task.isolation is Isolation.PROCESS for task in self.tasks)
        of_runner = pools.checkers + pools.core + pools.web + FIXED_CONNECTIONS
        return of_runner + self.queried_dependencies + pools.process * processes

    @property
    def source(self) -> str:
        """The file as its user called it, for messages."""
        return self._source

    @property
    def hints(self) -> tuple[str, ...]:
        """What is valid and may be meant otherwise, each with its line."""
        return self._hints

    @property
    def lines(self) -> dict[Place, int]:
        """The line of every place that is in the file."""
        return self._lines

    @property
    def filled(self) -> dict[Place, str]:
        """Places whose value came from the environment or a file."""
        return self._filled

    @property
    def references(self) -> tuple[Reference, ...]:
        """What the references in the file were filled in with."""
        return self._references

    def line(self, *place: str | int) -> int | None:
        """The line of `place` (such as "tasks", "presale_checker", "run"), or of what surrounds it."""
        return line_of(self._lines, place)

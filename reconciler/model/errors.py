"""How everything that can go wrong is told: a stable code, what happened, why, and what to do."""

from __future__ import annotations

import enum

import msgspec


class ExitCode(enum.IntEnum):
    """What a swarmctl command ends with."""

    OK = 0
    ERROR = 1
    CHANGES = 2  # `diff` only: it worked, and there is something to apply
    TIMED_OUT = 3  # everything was written; services were still on their way when the time was over
    PAUSED = 4  # the swarm paused an update after failures
    ROLLED_BACK = 5  # the swarm, or `rollback: stack`, put something back to what it was
    TASKS_FAILING = 6  # tasks are rejected, or fail again and again
    UNSCHEDULABLE = 7  # no node can run some task
    HUNG_UP = 129  # 128 + SIGHUP, as shells have it
    INTERRUPTED = 130  # 128 + SIGINT
    TERMINATED = 143  # 128 + SIGTERM


INTERRUPTIONS = frozenset({ExitCode.HUNG_UP, ExitCode.INTERRUPTED, ExitCode.TERMINATED})
"""What a command ends with that was told to end before it was done."""


class ErrorCode(enum.StrEnum):
    """Stable names of errors. docs/errors.md has one section for each, which a test checks."""

    # usage and settings
    USAGE = "usage"
    BAD_SETTING = "bad-setting"
    INTERNAL = "internal"
    INTERRUPTED = "interrupted"
    # where manifests come from
    PATH_NOT_FOUND = "path-not-found"
    FILE_NOT_FOUND = "file-not-found"
    FILE_UNREADABLE = "file-unreadable"
    FILE_TOO_LARGE = "file-too-large"
    PATH_ESCAPES = "path-escapes"
    SPARSE_CHECKOUT = "sparse-checkout"
    NOT_A_GIT_REPOSITORY = "not-a-git-repository"
    REVISION_NOT_FOUND = "revision-not-found"
    GIT_FAILED = "git-failed"
    # repositories that the controller follows
    SOURCE_INVALID = "source-invalid"
    SOURCE_UNREACHABLE = "source-unreachable"
    SOURCE_TIMED_OUT = "source-timed-out"
    SOURCE_REFUSED = "source-refused"
    SOURCE_EMPTY = "source-empty"
    SOURCE_TOO_LARGE = "source-too-large"
    SOURCE_UNSAFE = "source-unsafe"
    SOURCE_DAMAGED = "source-damaged"
    SOURCE_BUSY = "source-busy"
    SOURCE_DISK_FULL = "source-disk-full"
    HISTORY_REWRITTEN = "history-rewritten"
    SIGNATURE_MISSING = "signature-missing"
    SIGNATURE_REFUSED = "signature-refused"
    WEBHOOK_REFUSED = "webhook-refused"
    WEBHOOK_REPLAYED = "webhook-replayed"
    WEBHOOK_TOO_LARGE = "webhook-too-large"
    WEBHOOK_UNREADABLE = "webhook-unreadable"
    # what manifests say
    NOT_UTF8 = "not-utf8"
    YAML_SYNTAX = "yaml-syntax"
    YAML_DUPLICATE_KEY = "yaml-duplicate-key"
    YAML_TOO_COMPLEX = "yaml-too-complex"
    WRONG_TYPE = "wrong-type"
    UNKNOWN_KEY = "unknown-key"
    MISSING_KEY = "missing-key"
    INVALID_VALUE = "invalid-value"
    UNSUPPORTED_KEY = "unsupported-key"
    UNSUPPORTED_VERSION = "unsupported-version"
    BAD_INTERPOLATION = "bad-interpolation"
    UNDEFINED_REFERENCE = "undefined-reference"
    DUPLICATE_OBJECT = "duplicate-object"
    DEPENDENCY_CYCLE = "dependency-cycle"
    # the cluster
    ENGINE_UNREACHABLE = "engine-unreachable"
    ENGINE_API_TOO_OLD = "engine-api-too-old"
    CONTEXT_NOT_FOUND = "context-not-found"
    NOT_IN_A_SWARM = "not-in-a-swarm"
    NOT_A_MANAGER = "not-a-manager"
    SWARM_UNAVAILABLE = "swarm-unavailable"
    STALE_VERSION = "stale-version"
    OBJECT_NOT_FOUND = "object-not-found"
    NAME_CONFLICT = "name-conflict"
    OBJECT_IN_USE = "object-in-use"
    REQUEST_REFUSED = "request-refused"
    NOT_UPDATABLE = "not-updatable"
    # planning and applying
    PLAN_BLOCKED = "plan-blocked"
    NOT_PRUNED = "not-pruned"
    NOT_RESET = "not-reset"
    RULE_CHANGED = "rule-changed"
    OWNED_ELSEWHERE = "owned-elsewhere"
    APPLY_FAILED = "apply-failed"
    NOT_CONFIRMED = "not-confirmed"
    NOT_CONVERGED = "not-converged"
    TIMED_OUT = "timed-out"
    UPDATE_PAUSED = "update-paused"
    ROLLED_BACK = "rolled-back"
    TASKS_FAILING = "tasks-failing"
    UNSCHEDULABLE = "unschedulable"
    STALE_PLAN = "stale-plan"
    PLAN_FILE_INVALID = "plan-file-invalid"
    IMAGE_UNRESOLVED = "image-unresolved"
    NODE_DOWN = "node-down"
    NODE_NOT_LISTED = "node-not-listed"
    VOLUME_KEPT = "volume-kept"
    # pull requests
    FORGE_UNREACHABLE = "forge-unreachable"
    FORGE_REFUSED = "forge-refused"
    # telling people
    ALERT_SINK_INVALID = "alert-sink-invalid"
    # the controller's API
    CONTROLLER_UNREACHABLE = "controller-unreachable"
    API_LISTEN_FAILED = "api-listen-failed"
    API_OVERLOADED = "api-overloaded"
    API_REFUSED = "api-refused"
    API_REQUEST_INVALID = "api-request-invalid"
    STACK_AMBIGUOUS = "stack-ambiguous"
    API_TOO_LARGE = "api-too-large"
    API_TOO_SLOW = "api-too-slow"
    # writing a swarm down
    OUTPUT_NOT_EMPTY = "output-not-empty"
    OUTPUT_FAILED = "output-failed"
    IMPORT_DIFFERS = "import-differs"
    IMPORT_SENSITIVE = "import-sensitive"
    # the embedded swarm
    EMBEDDED_NOT_RUNNING = "embedded-not-running"
    EMBEDDED_ALREADY_RUNNING = "embedded-already-running"
    EMBEDDED_FAILED = "embedded-failed"
    # the replicated store
    ENTRY_INVALID = "entry-invalid"
    FENCED = "fenced"
    OUTCOME_FORGOTTEN = "outcome-forgotten"
    SNAPSHOT_CORRUPT = "snapshot-corrupt"
    SNAPSHOT_TOO_NEW = "snapshot-too-new"
    # what a manager keeps on its disk
    RAFT_LOG_CORRUPT = "raft-log-corrupt"
    RAFT_LOG_FOREIGN = "raft-log-foreign"
    RAFT_LOG_LOCKED = "raft-log-locked"
    RAFT_LOG_MISSING = "raft-log-missing"
    RAFT_SNAPSHOT_CORRUPT = "raft-snapshot-corrupt"
    RAFT_TOO_NEW = "raft-too-new"
    RAFT_DISK_FULL = "raft-disk-full"
    RAFT_DISK_FAILED = "raft-disk-failed"
    # what managers agree on
    RAFT_INCONSISTENT = "raft-inconsistent"
    RAFT_NO_LEADER = "raft-no-leader"
    RAFT_OUTCOME_UNKNOWN = "raft-outcome-unknown"
    RAFT_OVERLOADED = "raft-overloaded"
    RAFT_NOT_LEADER = "raft-not-leader"
    RAFT_CHANGE_REFUSED = "raft-change-refused"
    RAFT_SNAPSHOT_REFUSED = "raft-snapshot-refused"
    RAFT_WATCH_BEHIND = "raft-watch-behind"
    RAFT_REMOVED = "raft-removed"
    RAFT_STOPPED = "raft-stopped"
    RAFT_WORK_STUCK = "raft-work-stuck"
    RAFT_FOLDER_USED = "raft-folder-used"
    RAFT_LIBRARY_VERSION = "raft-library-version"
    # who managers are to each other
    PEERS_MISSING = "peers-missing"
    PEERS_UNREADABLE = "peers-unreadable"
    PEERS_EXPOSED = "peers-exposed"
    PEERS_EXIST = "peers-exist"
    PEERS_EXPIRED = "peers-expired"
    PEERS_NOT_YET_VALID = "peers-not-yet-valid"
    PEERS_WRONG_CA = "peers-wrong-ca"
    PEERS_WRONG_NAME = "peers-wrong-name"
    PEERS_NO_CERTIFICATE = "peers-no-certificate"
    PEERS_NOT_A_MEMBER = "peers-not-a-member"
    PEERS_FOUNDED_APART = "peers-founded-apart"
    PEERS_CONNECTED = "peers-connected"
    PEERS_PROTOCOL = "peers-protocol"
    PEERS_TOO_MANY = "peers-too-many"
    PEERS_TOO_SLOW = "peers-too-slow"
    PEERS_FRAME_TOO_LARGE = "peers-frame-too-large"
    PEERS_UNREACHABLE = "peers-unreachable"
    PEERS_LISTEN_FAILED = "peers-listen-failed"


class Severity(enum.StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Place(msgspec.Struct, frozen=True, order=True):
    """Where something is written: a file of the repository, and a spot in it.

    `line` and `column` count from 1; 0 means the file as a whole. `key_path` is dotted, as in
    `services.web.ports[0]`, and empty for the document itself.
    """

    file: str
    line: int = 0
    column: int = 0
    key_path: str = ""

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong, as a value, so that all of them can be reported at once.

    `what` is a sentence; `why` and `hint` are sentences or empty. None of them ever holds a secret's value.
    """

    code: ErrorCode
    what: str
    why: str = ""
    hint: str = ""
    place: Place | None = None
    severity: Severity = Severity.ERROR
    docker: str = ""
    """A warning as `docker stack deploy` words it; "" where it says nothing."""


class SwarmctlError(Exception):
    """An error that a user reads. Raised at a room's door; everything below it is chained as the cause."""

    def __init__(
        self,
        code: ErrorCode,
        what: str,
        *,
        why: str = "",
        hint: str = "",
        place: Place | None = None,
        passing: bool = False,
    ) -> None:
        super().__init__(what)
        self.passing = passing
        """The server failed or did not answer, rather than refused: the same request may succeed in a moment."""
        self.problems: tuple[Problem, ...] = (Problem(code, what, why, hint, place),)

    @property
    def code(self) -> ErrorCode:
        """The code of the first problem."""
        return self.problems[0].code

    @classmethod
    def from_problems(cls, problems: tuple[Problem, ...]) -> SwarmctlError:
        """Return one error that carries them all; `problems` must not be empty."""
        first = problems[0]
        error = cls(first.code, first.what, why=first.why, hint=first.hint, place=first.place)
        error.problems = problems
        return error

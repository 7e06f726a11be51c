"""The bodies of the Engine API that the swarm reads: which fields there are, and of which type. (API 1.47)"""

from __future__ import annotations

from reconciler.api.decoding import INT64, UINT32, UINT64, Flag, Items, Number, Struct, Table, Text
from reconciler.model.objects import Kind

_S, _B = Text(), Flag()
_I, _U, _U32 = Number("int64", INT64), Number("uint64", UINT64), Number("uint32", UINT32)
_F = Number("float32", None)
_TEXTS = Items(_S, "[]string")
_LABELS = Table(_S, "map[string]string")

_DRIVER = Struct("Driver", {"Name": _S, "Options": _LABELS})
_FILE = Struct("File", {"Name": _S, "UID": _S, "GID": _S, "Mode": _U32})
_MOUNT = Struct(
    "Mount",
    {
        "Type": _S,
        "Source": _S,
        "Target": _S,
        "ReadOnly": _B,
        "Consistency": _S,
        "BindOptions": Struct("BindOptions", {"Propagation": _S, "NonRecursive": _B, "CreateMountpoint": _B}),
        "VolumeOptions": Struct(
            "VolumeOptions", {"NoCopy": _B, "Labels": _LABELS, "DriverConfig": _DRIVER, "Subpath": _S}
        ),
        "TmpfsOptions": Struct("TmpfsOptions", {"SizeBytes": _I, "Mode": _U32}),
    },
)
_HEALTH = Struct(
    "HealthConfig",
    {"Test": _TEXTS, "Interval": _I, "Timeout": _I, "StartPeriod": _I, "StartInterval": _I, "Retries": _I},
)
_SECRET_USE = Struct("SecretReference", {"File": _FILE, "SecretID": _S, "SecretName": _S})
_CONFIG_USE = Struct("ConfigReference", {"File": _FILE, "ConfigID": _S, "ConfigName": _S})
_CONTAINER = Struct(
    "ContainerSpec",
    {
        **dict.fromkeys(("Image", "Hostname", "Dir", "User", "StopSignal", "Isolation"), _S),
        **dict.fromkeys(
            ("Command", "Args", "Env", "Groups", "Hosts", "CapabilityAdd", "CapabilityDrop"),
            _TEXTS,
        ),
        **dict.fromkeys(("Init", "TTY", "OpenStdin", "ReadOnly"), _B),
        "Labels": _LABELS,
        "Sysctls": _LABELS,
        "StopGracePeriod": _I,
        "OomScoreAdj": _I,
        "Mounts": Items(_MOUNT, "[]mount.Mount"),
        "Healthcheck": _HEALTH,
        "DNSConfig": Struct("DNSConfig", {"Nameservers": _TEXTS, "Search": _TEXTS, "Options": _TEXTS}),
        "Secrets": Items(_SECRET_USE, "[]SecretReference"),
        "Configs": Items(_CONFIG_USE, "[]ConfigReference"),
        "Ulimits": Items(Struct("Ulimit", {"Name": _S, "Hard": _I, "Soft": _I}), "[]Ulimit"),
        "Privileges": Struct("Privileges", {"NoNewPrivileges": _B}),
    },
)
_GENERIC = Items(
    Struct(
        "GenericResource",
        {
            "NamedResourceSpec": Struct("NamedGenericResource", {"Kind": _S, "Value": _S}),
            "DiscreteResourceSpec": Struct("DiscreteGenericResource", {"Kind": _S, "Value": _I}),
        },
    ),
    "[]GenericResource",
)
_RESOURCES = Struct(
    "ResourceRequirements",
    {
        "Limits": Struct("Limit", {"NanoCPUs": _I, "MemoryBytes": _I, "Pids": _I}),
        "Reservations": Struct("Resources", {"NanoCPUs": _I, "MemoryBytes": _I, "GenericResources": _GENERIC}),
        "SwapBytes": _I,
        "MemorySwappiness": _I,
    },
)
_ATTACHMENTS = Items(
    Struct("NetworkAttachmentConfig", {"Target": _S, "Aliases": _TEXTS, "DriverOpts": _LABELS}),
    "[]NetworkAttachmentConfig",
)
_PREFERENCE = Struct("PlacementPreference", {"Spread": Struct("SpreadOver", {"SpreadDescriptor": _S})})
_PLACEMENT = Struct(
    "Placement",
    {
        "Constraints": _TEXTS,
        "Preferences": Items(_PREFERENCE, "[]PlacementPreference"),
        "MaxReplicas": _U,
        "Platforms": Items(Struct("Platform", {"OS": _S, "Architecture": _S}), "[]Platform"),
    },
)
_TEMPLATE = Struct(
    "TaskSpec",
    {
        "ContainerSpec": _CONTAINER,
        "Resources": _RESOURCES,
        "RestartPolicy": Struct("RestartPolicy", {"Condition": _S, "Delay": _I, "MaxAttempts": _U, "Window": _I}),
        "Placement": _PLACEMENT,
        "Networks": _ATTACHMENTS,
        "LogDriver": _DRIVER,
        "ForceUpdate": _U,
        "Runtime": _S,
    },
)
_ROLLOUT = Struct(
    "UpdateConfig",
    {"Parallelism": _U, "Delay": _I, "FailureAction": _S, "Monitor": _I, "MaxFailureRatio": _F, "Order": _S},
)
_PORT = Struct("PortConfig", {"Name": _S, "Protocol": _S, "TargetPort": _U32, "PublishedPort": _U32, "PublishMode": _S})
_MODE = Struct(
    "ServiceMode",
    {
        "Replicated": Struct("ReplicatedService", {"Replicas": _U}),
        "Global": Struct("GlobalService", {}),
        "ReplicatedJob": Struct("ReplicatedJob", {"MaxConcurrent": _U, "TotalCompletions": _U}),
        "GlobalJob": Struct("GlobalJob", {}),
    },
)
_SERVICE = Struct(
    "ServiceSpec",
    {
        "Name": _S,
        "Labels": _LABELS,
        "TaskTemplate": _TEMPLATE,
        "Mode": _MODE,
        "UpdateConfig": _ROLLOUT,
        "RollbackConfig": _ROLLOUT,
        "Networks": _ATTACHMENTS,
        "EndpointSpec": Struct("EndpointSpec", {"Mode": _S, "Ports": Items(_PORT, "[]PortConfig")}),
    },
)
_SEALED = Struct("SecretSpec", {"Name": _S, "Labels": _LABELS, "Data": _S, "Driver": _DRIVER, "Templating": _DRIVER})
_NODE = Struct("NodeSpec", {"Name": _S, "Labels": _LABELS, "Role": _S, "Availability": _S})
_POOL = Struct("IPAMConfig", {"Subnet": _S, "IPRange": _S, "Gateway": _S, "AuxiliaryAddresses": _LABELS})
_NETWORK = Struct(
    "CreateRequest",
    {
        **dict.fromkeys(("Name", "Driver", "Scope"), _S),
        **dict.fromkeys(("EnableIPv4", "EnableIPv6", "Internal", "Attachable", "Ingress", "ConfigOnly"), _B),
        "IPAM": Struct("IPAM", {"Driver": _S, "Options": _LABELS, "Config": Items(_POOL, "[]IPAMConfig")}),
        "Options": _LABELS,
        "Labels": _LABELS,
        "ConfigFrom": Struct("ConfigReference", {"Network": _S}),
    },
)
SWARM_SPEC = Struct(
    "Spec",
    {
        "Name": _S,
        "Labels": _LABELS,
        "Orchestration": Struct("OrchestrationConfig", {"TaskHistoryRetentionLimit": _I}),
        "Raft": Struct(
            "RaftConfig",
            {
                "SnapshotInterval": _U,
                "KeepOldSnapshots": _U,
                "LogEntriesForSlowFollowers": _U,
                "ElectionTick": _I,
                "HeartbeatTick": _I,
            },
        ),
        "Dispatcher": Struct("DispatcherConfig", {"HeartbeatPeriod": _I}),
        "CAConfig": Struct("CAConfig", {"NodeCertExpiry": _I, "ForceRotate": _U}),
        "TaskDefaults": Struct("TaskDefaults", {"LogDriver": _DRIVER}),
        "EncryptionConfig": Struct("EncryptionConfig", {"AutoLockManagers": _B}),
    },
)
INIT = Struct(
    "InitRequest",
    {
        **dict.fromkeys(("ListenAddr", "AdvertiseAddr", "DataPathAddr", "Availability"), _S),
        **dict.fromkeys(("DataPathPort", "SubnetSize"), _U32),
        **dict.fromkeys(("ForceNewCluster", "AutoLockManagers"), _B),
        "DefaultAddrPool": _TEXTS,
        "Spec": SWARM_SPEC,
    },
)
JOIN = Struct(
    "JoinRequest",
    {
        **dict.fromkeys(("ListenAddr", "AdvertiseAddr", "DataPathAddr", "JoinToken", "Availability"), _S),
        "RemoteAddrs": _TEXTS,
    },
)
UNLOCK = Struct("UnlockRequest", {"UnlockKey": _S})
OBJECTS = {
    Kind.SERVICE: _SERVICE,
    Kind.SECRET: _SEALED,
    Kind.CONFIG: _SEALED,
    Kind.NODE: _NODE,
    Kind.NETWORK: _NETWORK,
    Kind.SWARM: SWARM_SPEC,
}
"""What is created and updated, by kind."""

"""The bodies of the Engine API: which fields there are, and of which Go type, as errors name it. (API 1.47)"""

from __future__ import annotations

from reconciler.api.decoding import (
    INT64,
    UINT32,
    UINT64,
    Anything,
    Bytes,
    Flag,
    Items,
    Number,
    Shape,
    Struct,
    Table,
    Text,
)
from reconciler.model.objects import Kind

_S, _B = Text(), Flag()
_INT, _I, _U, _U32 = Number("int", INT64), Number("int64", INT64), Number("uint64", UINT64), Number("uint32", UINT32)
_TIME, _FILE_MODE = Number("time.Duration", INT64), Number("fs.FileMode", UINT32)
_F = Number("float32", None)
_TEXTS = Items(_S, "[]string")
_LABELS = Table(_S, "map[string]string")


def _struct(name: str, **fields: Shape) -> Struct:
    return Struct(name, fields)


def _list(of: Shape) -> Items:
    return Items(of, f"[]{of.name}")


_DRIVER = _struct("swarm.Driver", Name=_S, Options=_LABELS)
_MOUNT = _struct(
    "mount.Mount",
    Type=Text("mount.Type"),
    Source=_S,
    Target=_S,
    ReadOnly=_B,
    Consistency=Text("mount.Consistency"),
    BindOptions=_struct(
        "mount.BindOptions",
        Propagation=Text("mount.Propagation"),
        **dict.fromkeys(("NonRecursive", "CreateMountpoint", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive"), _B),
    ),
    VolumeOptions=_struct(
        "mount.VolumeOptions",
        NoCopy=_B,
        Labels=_LABELS,
        Subpath=_S,
        DriverConfig=_struct("mount.Driver", Name=_S, Options=_LABELS),
    ),
    TmpfsOptions=_struct("mount.TmpfsOptions", SizeBytes=_I, Mode=_FILE_MODE, Options=Items(_TEXTS, "[][]string")),
    ClusterOptions=_struct("mount.ClusterOptions"),
)
_HEALTH = _struct(
    "container.HealthConfig",
    Test=_TEXTS,
    **dict.fromkeys(("Interval", "Timeout", "StartPeriod", "StartInterval"), _TIME),
    Retries=_INT,
)


def _file(name: str) -> Struct:
    return _struct(name, Name=_S, UID=_S, GID=_S, Mode=_FILE_MODE)


_SECRET_USE = _struct(
    "swarm.SecretReference", File=_file("swarm.SecretReferenceFileTarget"), SecretID=_S, SecretName=_S
)
_CONFIG_USE = _struct(
    "swarm.ConfigReference",
    File=_file("swarm.ConfigReferenceFileTarget"),
    Runtime=_struct("swarm.ConfigReferenceRuntimeTarget"),
    ConfigID=_S,
    ConfigName=_S,
)
_PRIVILEGES = _struct(
    "swarm.Privileges",
    CredentialSpec=_struct("swarm.CredentialSpec", Config=_S, File=_S, Registry=_S),
    SELinuxContext=_struct("swarm.SELinuxContext", Disable=_B, User=_S, Role=_S, Type=_S, Level=_S),
    Seccomp=_struct("swarm.SeccompOpts", Mode=Text("swarm.SeccompMode"), Profile=Bytes()),
    AppArmor=_struct("swarm.AppArmorOpts", Mode=Text("swarm.AppArmorMode")),
    NoNewPrivileges=_B,
)
_CONTAINER = _struct(
    "swarm.ContainerSpec",
    **dict.fromkeys(("Image", "Hostname", "Dir", "User", "StopSignal"), _S),
    Isolation=Text("container.Isolation"),
    **dict.fromkeys(("Command", "Args", "Env", "Groups", "Hosts", "CapabilityAdd", "CapabilityDrop"), _TEXTS),
    **dict.fromkeys(("Init", "TTY", "OpenStdin", "ReadOnly"), _B),
    Labels=_LABELS,
    Sysctls=_LABELS,
    StopGracePeriod=_TIME,
    OomScoreAdj=_I,
    Mounts=_list(_MOUNT),
    Healthcheck=_HEALTH,
    DNSConfig=_struct("swarm.DNSConfig", Nameservers=_TEXTS, Search=_TEXTS, Options=_TEXTS),
    Secrets=Items(_SECRET_USE, "[]*swarm.SecretReference"),
    Configs=Items(_CONFIG_USE, "[]*swarm.ConfigReference"),
    Ulimits=Items(_struct("units.Ulimit", Name=_S, Hard=_I, Soft=_I), "[]*units.Ulimit"),
    Privileges=_PRIVILEGES,
)
_GENERIC = _list(
    _struct(
        "swarm.GenericResource",
        NamedResourceSpec=_struct("swarm.NamedGenericResource", Kind=_S, Value=_S),
        DiscreteResourceSpec=_struct("swarm.DiscreteGenericResource", Kind=_S, Value=_I),
    )
)
_RESOURCES = _struct(
    "swarm.ResourceRequirements",
    Limits=_struct("swarm.Limit", NanoCPUs=_I, MemoryBytes=_I, Pids=_I),
    Reservations=_struct("swarm.Resources", NanoCPUs=_I, MemoryBytes=_I, GenericResources=_GENERIC),
    SwapBytes=_I,
    MemorySwappiness=_I,
)
_ATTACHMENTS = _list(_struct("swarm.NetworkAttachmentConfig", Target=_S, Aliases=_TEXTS, DriverOpts=_LABELS))
_PREFERENCE = _struct("swarm.PlacementPreference", Spread=_struct("swarm.SpreadOver", SpreadDescriptor=_S))
_PLACEMENT = _struct(
    "swarm.Placement",
    Constraints=_TEXTS,
    Preferences=_list(_PREFERENCE),
    MaxReplicas=_U,
    Platforms=_list(_struct("swarm.Platform", OS=_S, Architecture=_S)),
)
_RESTART = _struct(
    "swarm.RestartPolicy",
    Condition=Text("swarm.RestartPolicyCondition"),
    Delay=_TIME,
    MaxAttempts=_U,
    Window=_TIME,
)
_TEMPLATE = _struct(
    "swarm.TaskSpec",
    ContainerSpec=_CONTAINER,
    PluginSpec=Anything(),
    NetworkAttachmentSpec=_struct("swarm.NetworkAttachmentSpec", ContainerID=_S),
    Resources=_RESOURCES,
    RestartPolicy=_RESTART,
    Placement=_PLACEMENT,
    Networks=_ATTACHMENTS,
    LogDriver=_DRIVER,
    ForceUpdate=_U,
    Runtime=Text("swarm.RuntimeType"),
)
_ROLLOUT = _struct(
    "swarm.UpdateConfig",
    Parallelism=_U,
    Delay=_TIME,
    FailureAction=_S,
    Monitor=_TIME,
    MaxFailureRatio=_F,
    Order=_S,
)
_PORT = _struct(
    "swarm.PortConfig",
    Name=_S,
    Protocol=Text("swarm.PortConfigProtocol"),
    TargetPort=_U32,
    PublishedPort=_U32,
    PublishMode=Text("swarm.PortConfigPublishMode"),
)
_MODE = _struct(
    "swarm.ServiceMode",
    Replicated=_struct("swarm.ReplicatedService", Replicas=_U),
    Global=_struct("swarm.GlobalService"),
    ReplicatedJob=_struct("swarm.ReplicatedJob", MaxConcurrent=_U, TotalCompletions=_U),
    GlobalJob=_struct("swarm.GlobalJob"),
)
_SERVICE = _struct(
    "swarm.ServiceSpec",
    Name=_S,
    Labels=_LABELS,
    TaskTemplate=_TEMPLATE,
    Mode=_MODE,
    UpdateConfig=_ROLLOUT,
    RollbackConfig=_ROLLOUT,
    Networks=_ATTACHMENTS,
    EndpointSpec=_struct("swarm.EndpointSpec", Mode=Text("swarm.ResolutionMode"), Ports=_list(_PORT)),
)
_SECRET = _struct("swarm.SecretSpec", Name=_S, Labels=_LABELS, Data=Bytes(), Driver=_DRIVER, Templating=_DRIVER)
_CONFIG = _struct("swarm.ConfigSpec", Name=_S, Labels=_LABELS, Data=Bytes(), Templating=_DRIVER)
_NODE = _struct(
    "swarm.NodeSpec",
    Name=_S,
    Labels=_LABELS,
    Role=Text("swarm.NodeRole"),
    Availability=Text("swarm.NodeAvailability"),
)
_POOL = _struct("network.IPAMConfig", Subnet=_S, IPRange=_S, Gateway=_S, AuxiliaryAddresses=_LABELS)
_NETWORK = _struct(
    "types.NetworkCreateRequest",
    **dict.fromkeys(("Name", "Driver", "Scope"), _S),
    **dict.fromkeys(
        ("CheckDuplicate", "EnableIPv4", "EnableIPv6", "Internal", "Attachable", "Ingress", "ConfigOnly"), _B
    ),
    IPAM=_struct("network.IPAM", Driver=_S, Options=_LABELS, Config=_list(_POOL)),
    Options=_LABELS,
    Labels=_LABELS,
    ConfigFrom=_struct("network.ConfigReference", Network=_S),
)
_EXTERNAL_CA = _struct(
    "swarm.ExternalCA", Protocol=Text("swarm.ExternalCAProtocol"), URL=_S, Options=_LABELS, CACert=_S
)
SWARM_SPEC = _struct(
    "swarm.Spec",
    Name=_S,
    Labels=_LABELS,
    Orchestration=_struct("swarm.OrchestrationConfig", TaskHistoryRetentionLimit=_I),
    Raft=_struct(
        "swarm.RaftConfig",
        **dict.fromkeys(("SnapshotInterval", "KeepOldSnapshots", "LogEntriesForSlowFollowers"), _U),
        ElectionTick=_INT,
        HeartbeatTick=_INT,
    ),
    Dispatcher=_struct("swarm.DispatcherConfig", HeartbeatPeriod=_TIME),
    CAConfig=_struct(
        "swarm.CAConfig",
        NodeCertExpiry=_TIME,
        ExternalCAs=Items(_EXTERNAL_CA, "[]*swarm.ExternalCA"),
        SigningCACert=_S,
        SigningCAKey=_S,
        ForceRotate=_U,
    ),
    TaskDefaults=_struct("swarm.TaskDefaults", LogDriver=_DRIVER),
    EncryptionConfig=_struct("swarm.EncryptionConfig", AutoLockManagers=_B),
)
INIT = _struct(
    "swarm.InitRequest",
    **dict.fromkeys(("ListenAddr", "AdvertiseAddr", "DataPathAddr"), _S),
    Availability=Text("swarm.NodeAvailability"),
    DataPathPort=_U32,
    SubnetSize=_U32,
    ForceNewCluster=_B,
    AutoLockManagers=_B,
    DefaultAddrPool=_TEXTS,
    Spec=SWARM_SPEC,
)
JOIN = _struct(
    "swarm.JoinRequest",
    **dict.fromkeys(("ListenAddr", "AdvertiseAddr", "DataPathAddr", "JoinToken"), _S),
    Availability=Text("swarm.NodeAvailability"),
    RemoteAddrs=_TEXTS,
)
UNLOCK = _struct("swarm.UnlockRequest", UnlockKey=_S)
OBJECTS = {
    Kind.SERVICE: _SERVICE,
    Kind.SECRET: _SECRET,
    Kind.CONFIG: _CONFIG,
    Kind.NODE: _NODE,
    Kind.NETWORK: _NETWORK,
    Kind.SWARM: SWARM_SPEC,
}
"""What is created and updated, by kind."""

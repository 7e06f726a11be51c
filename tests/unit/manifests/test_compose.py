"""Stack files become what `docker stack deploy` sends. Each case states one rule of docker's."""

from __future__ import annotations

import pytest

from reconciler.manifests.compose.images import normalized_image
from reconciler.manifests.compose.interpolation import BadTemplate, substitute
from reconciler.manifests.compose.pairs import split_words
from reconciler.manifests.quantities import duration_ns, nano_cpus, period_ns, size_bytes
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind
from tests.unit.manifests.builders import container, service, stack

LABEL = {"com.docker.stack.namespace": "s"}


def test_the_smallest_service_is_exactly_what_docker_sends() -> None:
    network, small = stack("services: {a: {image: nginx}}").objects
    assert network.spec == {
        "Name": "s_default",
        "Driver": "overlay",
        "Attachable": False,
        "Internal": False,
        "Labels": LABEL,
        "Options": None,
        "IPAM": None,
        "Ingress": False,
        "ConfigOnly": False,
        "ConfigFrom": None,
        "Scope": "",
    }
    assert small.spec == {
        "Name": "s_a",
        "Labels": {"com.docker.stack.image": "nginx", **LABEL},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "nginx:latest",
                "Labels": LABEL,
                "Privileges": {"CredentialSpec": None, "SELinuxContext": None, "NoNewPrivileges": False},
            },
            "Resources": {},
            "Placement": {},
            "Networks": [{"Target": "s_default", "Aliases": ["a"]}],
            "ForceUpdate": 0,
        },
        "Mode": {"Replicated": {}},
        "EndpointSpec": {},
    }


@pytest.mark.parametrize(
    ("image", "sent"),
    [
        ("nginx", "nginx:latest"),
        ("docker.io/library/x:1", "x:1"),
        ("docker.io/a/b", "a/b:latest"),
        ("index.docker.io/b", "b:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("r.example:5000/a/b:2", "r.example:5000/a/b:2"),
        (f"x:1@sha256:{'a' * 64}", f"x:1@sha256:{'a' * 64}"),
    ],
)
def test_image_references_are_sent_normalised(image: str, sent: str) -> None:
    assert normalized_image(image) == sent


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A ${A} $$A", "va va $A"),
        ("${U}|${U-d}|${U:-d}|${E-d}|${E:-d}", "|d|d||d"),
        ("$U-alpine", "alpine"),
        ("$A.x:1/y", "va.x:1/y"),
        ("${U:-${A}}", "${A}"),
        ("$(H)-${A}", "(H)-va"),
        ("${NO?a-b}", "b"),
        ("$U-${A}", "${A}"),
        ("$A:-x", "va"),
        ("${A:-x", None),
        ("${A:x}", None),
        ("$1", None),
        ("$", None),
    ],
)
def test_variables_are_filled_in_by_dockers_rules(text: str, result: str | None) -> None:
    if result is None:
        with pytest.raises(BadTemplate):
            substitute(text, {"A": "va"})
    else:
        assert substitute(text, {"A": "va", "E": ""}) == result


def test_many_open_braces_take_no_time_by_the_square() -> None:
    with pytest.raises(BadTemplate):
        substitute("${A:-" * 500_000, {})


def test_filled_in_values_take_the_type_of_their_place() -> None:
    spec = service("deploy: {replicas: '${N}'}\nread_only: '${B}'", N="3", B="yes")
    assert spec["Mode"] == {"Replicated": {"Replicas": 3}}
    assert spec["TaskTemplate"]["ContainerSpec"]["ReadOnly"] is True


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a 'b c' \"d e\"", ["a", "b c", "d e"]),
        ('a"b"\\ c', ["ab c"]),
        ('"a\\"b" # rest\nnext', ['a"b', "next"]),
        ("a#b #c", ["a#b"]),
        ("''", [""]),
        ("  ", []),
        ("'open", None),
        ("end\\", None),
    ],
)
def test_command_lines_split_like_a_shell(line: str, words: list[str] | None) -> None:
    assert split_words(line) == words


def test_entrypoint_is_the_command_and_command_its_arguments() -> None:
    spec = container("entrypoint: [sh, -c]\ncommand: echo 'a b'")
    assert (spec["Command"], spec["Args"]) == (["sh", "-c"], ["echo", "a b"])


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("1h2m3.5s", 3_723_500_000_000), ("300ms", 300_000_000), ("1500µs", 1_500_000), (".5s", 500_000_000), ("0", 0)],
)
def test_durations_are_those_of_go(text: str, nanoseconds: int) -> None:
    assert duration_ns(text) == nanoseconds


def test_swarm_yaml_has_days_and_weeks_besides() -> None:
    assert period_ns("1w1d") == 8 * 24 * 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", 2**30), ("1.5g", 3 * 2**29), ("64 KiB", 65536), ("50mib", 50 * 2**20), ("7b", 7), ("1e3", 1000)],
)
def test_sizes_count_by_1024(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize(("text", "nano"), [("0.5", 500_000_000), ("1/2", 500_000_000), ("1e-1", 100_000_000)])
def test_processors_are_exact(text: str, nano: int) -> None:
    assert nano_cpus(text) == nano


@pytest.mark.parametrize(
    ("item", "ports"),
    [
        ('"80"', [{"TargetPort": 80}]),
        ("80", [{"TargetPort": 80}]),
        ('"8080:80/udp"', [{"Protocol": "udp", "TargetPort": 80, "PublishedPort": 8080}]),
        ('"8000-8001:80"', [{"TargetPort": 80, "PublishedPort": 8000}, {"TargetPort": 80, "PublishedPort": 8001}]),
        ('"9-10:9-10"', [{"TargetPort": 9, "PublishedPort": 9}, {"TargetPort": 10, "PublishedPort": 10}]),
        ('"[::1]:80:81"', [{"TargetPort": 81, "PublishedPort": 80}]),
    ],
)
def test_short_ports_are_published_through_ingress(item: str, ports: list[JsonObject]) -> None:
    wanted = [{"Protocol": "tcp", "PublishMode": "ingress"} | port for port in ports]
    assert service(f"ports: [{item}]")["EndpointSpec"]["Ports"] == wanted


def test_long_ports_default_nothing_and_ports_are_sorted() -> None:
    spec = service(
        "ports: [{target: 2, published: 9, mode: host}, {target: 1}]\ndeploy: {endpoint_mode: DNSRR}\n".replace(
            "{target: 1}", "{target: 1, mode: host}"
        )
    )
    assert spec["EndpointSpec"] == {
        "Mode": "dnsrr",
        "Ports": [
            {"TargetPort": 1, "PublishMode": "host"},
            {"TargetPort": 2, "PublishedPort": 9, "PublishMode": "host"},
        ],
    }


@pytest.mark.parametrize(
    ("item", "mount"),
    [
        ("/data", {"Type": "volume", "Target": "/data"}),
        ("./x/../y:/data:ro", {"Type": "bind", "Source": "/repository/y", "Target": "/data", "ReadOnly": True}),
        ("~/x:/data", {"Type": "bind", "Source": "/home/me/x", "Target": "/data"}),
        (
            "/x:/y:rshared,z",
            {"Type": "bind", "Source": "/x", "Target": "/y", "BindOptions": {"Propagation": "rshared"}},
        ),
        ("v:/data", {"Type": "volume", "Target": "v:/data"}),
        (
            "vol:/d:nocopy",
            {"Type": "volume", "Source": "s_vol", "Target": "/d", "VolumeOptions": {"NoCopy": True, "Labels": LABEL}},
        ),
        ("ext:/d", {"Type": "volume", "Source": "ext", "Target": "/d", "VolumeOptions": {}}),
        (
            "own:/d",
            {
                "Type": "volume",
                "Source": "mine",
                "Target": "/d",
                "VolumeOptions": {"Labels": {"a": "", **LABEL}, "DriverConfig": {"Name": "nfs", "Options": {"o": "1"}}},
            },
        ),
    ],
)
def test_short_mounts(item: str, mount: JsonObject) -> None:
    volumes = (
        "volumes: {vol: , ext: {external: true}, own: {name: mine, labels: [a], driver: nfs, driver_opts: {o: 1}}}"
    )
    assert container(f"volumes: ['{item}']", volumes)["Mounts"] == [mount]


def test_long_mounts_keep_their_options() -> None:
    spec = container(
        "volumes: [{type: tmpfs, target: /t, tmpfs: {size: 5}}, {type: bind, source: ., target: /b, bind: {}}]"
    )
    assert spec["Mounts"] == [
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 5}},
        {"Type": "bind", "Source": "/repository", "Target": "/b", "BindOptions": {}},
    ]


def test_the_environment_is_sorted_and_filled_from_outside() -> None:
    files = {"a.env": "\ufeff# comment\nF=file\r\nB=2\n\n  C=c c \nOUT\nGONE\n"}
    spec = container(
        "env_file: a.env\nenvironment: {B: 3, D: , E: '', A-B: x, FLOAT: 1.10}", files=files, OUT="o", E="e"
    )
    assert spec["Env"] == ["A-B=x", "B=3", "C=c c ", "D", "E=e", "F=file", "FLOAT=1.1", "OUT=o"]


def test_secrets_and_configs_come_from_files_below_the_stack_file() -> None:
    state = stack(
        """
        services:
          a:
            image: i
            secrets: [x, {source: y, target: t, uid: "1", mode: 0440}]
            configs: [c]
        secrets: {x: {file: ./d/../x.txt}, y: {external: true, name: real}, z: {driver: vault, labels: {a: 1}}}
        configs: {c: {file: x.txt, name: own, template_driver: golang}}
        """,
        {"x.txt": "hello"},
    )
    assert [(each.kind, each.name, each.spec) for each in state.objects[1:4]] == [
        (Kind.SECRET, "s_x", {"Name": "s_x", "Labels": LABEL, "Data": "aGVsbG8="}),
        (Kind.SECRET, "s_z", {"Name": "s_z", "Labels": {"a": "1", **LABEL}, "Driver": {"Name": "vault"}}),
        (Kind.CONFIG, "own", {"Name": "own", "Labels": LABEL, "Data": "aGVsbG8=", "Templating": {"Name": "golang"}}),
    ]
    spec = state.objects[4].spec["TaskTemplate"]["ContainerSpec"]
    assert spec["Secrets"] == [
        {"File": {"Name": "t", "UID": "1", "GID": "0", "Mode": 0o440}, "SecretName": "real"},
        {"File": {"Name": "x", "UID": "0", "GID": "0", "Mode": 0o444}, "SecretName": "s_x"},
    ]
    assert spec["Configs"] == [{"File": {"Name": "c", "UID": "0", "GID": "0", "Mode": 0o444}, "ConfigName": "own"}]
    assert [(each.kind, each.name) for each in state.externals] == [(Kind.SECRET, "real")]
    assert "aGVsbG8" not in repr(state)


def test_only_used_networks_are_made_and_externals_are_referred_to() -> None:
    state = stack(
        """
        services:
          a: {image: i, networks: {front: {aliases: [x]}, host: }}
          b: {image: i, networks: [shared]}
        networks:
          front: {name: real, driver_opts: {a: 1}, ipam: {config: [{subnet: 10.1.0.0/24}]}, attachable: true}
          host: {external: true}
          shared: {external: {name: public}}
          unused: {}
        """
    )
    [network] = state.of_kind(Kind.NETWORK)
    assert (network.name, network.spec["Options"], network.spec["Attachable"]) == ("real", {"a": "1"}, True)
    assert network.spec["IPAM"] == {"Driver": "", "Options": None, "Config": [{"Subnet": "10.1.0.0/24"}]}
    assert [(each.kind, each.name) for each in state.externals] == [(Kind.NETWORK, "public")]
    first, second = state.of_kind(Kind.SERVICE)
    assert first.spec["TaskTemplate"]["Networks"] == [{"Target": "host"}, {"Target": "real", "Aliases": ["x", "a"]}]
    assert second.spec["TaskTemplate"]["Networks"] == [{"Target": "public", "Aliases": ["b"]}]
    assert [warning.place.key_path for warning in state.warnings if warning.place] == ["networks.shared.external"]


@pytest.mark.parametrize(
    ("deploy", "path", "value"),
    [
        ("mode: global", "Mode", {"Global": {}}),
        ("mode: replicated-job\nreplicas: 2", "Mode", {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 2}}),
        ("mode: global-job", "Mode", {"GlobalJob": {}}),
        ("replicas: 0", "Mode", {"Replicated": {"Replicas": 0}}),
        ("update_config: {}", "UpdateConfig", {"Parallelism": 1, "MaxFailureRatio": 0, "Order": ""}),
        (
            "rollback_config: {parallelism: 0, delay: 1s, failure_action: pause,\n"
            "  order: start-first, max_failure_ratio: 0.1}",
            "RollbackConfig",
            {
                "Parallelism": 0,
                "Delay": 10**9,
                "FailureAction": "pause",
                "Order": "start-first",
                "MaxFailureRatio": 0.1,
            },
        ),
        (
            "resources: {limits: {}, reservations: {cpus: '0.5'}}",
            "Resources",
            {"Limits": {}, "Reservations": {"NanoCPUs": 500_000_000}},
        ),
        (
            "resources: {limits: {memory: 8M, pids: 5}, reservations:\n"
            "  {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}}",
            "Resources",
            {
                "Limits": {"MemoryBytes": 8 * 2**20, "Pids": 5},
                "Reservations": {"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}]},
            },
        ),
        (
            "restart_policy: {condition: on-failure, delay: 0s, max_attempts: 0}",
            "RestartPolicy",
            {"Condition": "on-failure", "Delay": 0, "MaxAttempts": 0},
        ),
        (
            "placement: {constraints: [node.role==manager],\n"
            "  preferences: [{spread: node.labels.zone}], max_replicas_per_node: 1}",
            "Placement",
            {
                "Constraints": ["node.role==manager"],
                "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
                "MaxReplicas": 1,
            },
        ),
        ("labels: [a=b, c]", "Labels", {"a": "b", "c": "", "com.docker.stack.image": "i", **LABEL}),
    ],
)
def test_deploy(deploy: str, path: str, value: JsonValue) -> None:
    keys = "deploy:\n" + "\n".join(f"  {line}" for line in deploy.split("\n"))
    spec = service(keys)
    assert spec.get(path, spec["TaskTemplate"].get(path)) == value


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ("hostname: h", "Hostname", "h"),
        ("init: false", "Init", False),
        ("tty: false", "TTY", None),
        ("stop_grace_period: 0s", "StopGracePeriod", 0),
        ("healthcheck: {}", "Healthcheck", {}),
        ("healthcheck: {disable: true}", "Healthcheck", {"Test": ["NONE"]}),
        (
            "healthcheck: {test: x, interval: 1s, retries: 2}",
            "Healthcheck",
            {"Test": ["CMD-SHELL", "x"], "Interval": 10**9, "Retries": 2},
        ),
        ("dns: 1.1.1.1\ndns_search: [a]", "DNSConfig", {"Nameservers": ["1.1.1.1"], "Search": ["a"]}),
        ("dns: []", "DNSConfig", {}),
        ("extra_hosts: ['b:1.1.1.1', 'a=[::1]', junk]", "Hosts", ["1.1.1.1 b", "::1 a"]),
        ("extra_hosts: {b: 1.1.1.1, a: 2.2.2.2}", "Hosts", ["2.2.2.2 a", "1.1.1.1 b"]),
        ("sysctls: {net.core.somaxconn: 1024}", "Sysctls", {"net.core.somaxconn": "1024"}),
        (
            "ulimits: {nproc: 5, nofile: {soft: 1, hard: 2}}",
            "Ulimits",
            [{"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "nproc", "Soft": 5, "Hard": 5}],
        ),
        ("cap_add: [net_admin, CAP_SYS_ADMIN]", "CapabilityAdd", ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]),
        ("cap_drop: [ALL, chown]", "CapabilityDrop", ["ALL"]),
        ("labels: {a: , b: 1}", "Labels", {"a": "", "b": "1", **LABEL}),
    ],
)
def test_container_keys(keys: str, field: str, value: JsonValue) -> None:
    assert container(keys).get(field) == value


@pytest.mark.parametrize(
    ("restart", "policy"),
    [("always", {"Condition": "any"}), ("on-failure:3", {"Condition": "on-failure", "MaxAttempts": 3}), ("'no'", None)],
)
def test_restart_stands_for_a_restart_policy(restart: str, policy: JsonObject | None) -> None:
    assert service(f"restart: {restart}")["TaskTemplate"].get("RestartPolicy") == policy


def test_a_restart_that_counts_is_not_called_ignored() -> None:
    (warning,) = stack("services: {a: {image: i, restart: always}}").warnings
    assert warning.what == "`services.a.restart` is not ignored, though `docker stack deploy` says so."
    assert "deploy.restart_policy" in warning.why


def test_logging_options_become_texts() -> None:
    spec = service("logging: {driver: json-file, options: {max-size: 5, x: }}")
    assert spec["TaskTemplate"]["LogDriver"] == {"Name": "json-file", "Options": {"max-size": "5", "x": ""}}

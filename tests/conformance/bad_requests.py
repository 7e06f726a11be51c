"""Requests that an engine refuses, or takes in its own way: each is sent to a real engine and to ours in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conformance.compared import LOCAL_NETWORK, Case, port, service


def _broken() -> list[Case]:
    texts = {
        "empty": b"",
        "blank": b"  \n",
        "cut": b'{"Name": "x"',
        "cut string": b'{"Name": "x',
        "word": b"nonsense",
        "a key without quotes": b'{Name: "x"}',
        "two values": b'{"Name": "x"} {"Name": "y"}',
        "rest": b'{"Name": "bad/name"} x',
        "no colon": b'{"Name" "x"}',
        "comma at the end": b'{"Name": "x",}',
        "comma in a list": b"[1,]",
        "list": b"[]",
        "null": b"null",
        "number": b"17",
        "string": b'"text"',
        "true": b"true",
        "tru": b"tru",
        "trux": b"trux",
        "minus": b"-",
        "leading zero": b'{"Name": 01}',
        "no decimals": b'{"Name": 1.}',
        "exponent": b'{"Name": 1e}',
        "escape": b'{"Name": "\\x"}',
        "hex escape": b'{"Name": "\\u12g4"}',
        "newline in a string": b'{"Name": "a\nb"}',
        "latin": b'{"Name": "\xe9"}x',
        "after a list's element": b'{"Labels": [1 2]}',
        "after a pair": b'{"Name": "x" "y"}',
        "nan": b'{"Name": NaN}',
        "quote": b"{'Name': 1}",
        "a high one": b'{"Name": \xc3\xa9}',
        "a control": b'{"Name": \x01}',
        "close": b"}",
        "bom": b"\xef\xbb\xbf{}",
    }
    found = [Case(f"broken: {name}", "POST", "/services/create", text) for name, text in texts.items()]
    for path in ("/secrets/create", "/configs/create", "/networks/create", "/swarm/update?version=$swarmv",
                 "/services/web/update?version=$webv", "/secrets/held/update?version=$heldv",
                 "/configs/held/update?version=$confv", "/nodes/$node/update?version=$nodev", "/swarm/init",
                 "/swarm/join", "/swarm/unlock"):  # fmt: skip
        found += [
            Case(f"broken: cut, {path}", "POST", path, b'{"Name": "x"'),
            Case(f"broken: empty, {path}", "POST", path, b""),
            Case(f"broken: list, {path}", "POST", path, b"[]"),
        ]
    found += [
        Case("type: none", "POST", "/services/create", b'{"Name": "bad/name"}', ""),
        Case("type: text", "POST", "/services/create", b'{"Name": "bad/name"}', "text/plain"),
        Case(
            "type: with a charset",
            "POST",
            "/secrets/create",
            b'{"Name": "bad/name"}',
            "application/json; charset=utf-8",
        ),
        Case("type: text, networks", "POST", "/networks/create", b'{"Name": ""}', "text/plain"),
        Case("type: text, secrets", "POST", "/secrets/create", b'{"Name": "bad/name"}', "text/plain"),
    ]
    return found


def _typed() -> list[Case]:
    found = []
    for line in (Path(__file__).parent / "wrong_types.tsv").read_text().splitlines():
        name, path, body = line.split("\t")
        found.append(Case(f"type: {name or f'{path} {body}'}", "POST", path, body.encode()))
    return found


def _unknown() -> list[Case]:
    found: list[Case] = []
    for kind in ("services", "nodes", "secrets", "configs", "tasks", "networks"):
        found += [
            Case(f"unknown: {kind}", "GET", f"/{kind}/nowhere"),
            Case(f"unknown: DELETE {kind}", "DELETE", f"/{kind}/nowhere"),
            Case(f"unknown: {kind}, an odd name", "GET", f"/{kind}/%20"),
            Case(f"unknown: POST {kind}", "POST", f"/{kind}/nowhere/update?version=1", {"Name": "x"}),
            Case(f"filter: {kind}, unknown key", "GET", f'/{kind}?filters={{"nonsense":["x"]}}'),
            Case(f"filter: {kind}, no JSON", "GET", f"/{kind}?filters=x"),
            Case(f"filter: {kind}, a list", "GET", f"/{kind}?filters=[]"),
            Case(f"filter: {kind}, a text", "GET", f'/{kind}?filters={{"name":"x"}}'),
            Case(f"filter: {kind}, a number", "GET", f'/{kind}?filters={{"name":[1]}}'),
            Case(f"filter: {kind}, null", "GET", f"/{kind}?filters=null"),
            Case(f"method: PUT {kind}", "PUT", f"/{kind}"),
            Case(f"method: PATCH {kind}", "PATCH", f"/{kind}/x"),
            Case(f"method: POST {kind}", "POST", f"/{kind}"),
        ]
    found += [
        Case("unknown: logs", "GET", "/services/nowhere/logs?stdout=1"),
        Case("unknown: task logs", "GET", "/tasks/nowhere/logs?stdout=1"),
        Case("logs: no stream", "GET", "/services/web/logs"),
        Case("logs: bad since", "GET", "/services/web/logs?stdout=1&since=x"),
        Case("filter: tasks of nowhere", "GET", '/tasks?filters={"service":["nowhere"]}'),
        Case("filter: tasks on nowhere", "GET", '/tasks?filters={"node":["nowhere"]}'),
        Case("filter: a state", "GET", '/tasks?filters={"desired-state":["x"]}'),
        Case("filter: a role", "GET", '/nodes?filters={"role":["x"]}'),
        Case("filter: membership", "GET", '/nodes?filters={"membership":["x"]}'),
        Case("filter: mode", "GET", '/services?filters={"mode":["x"]}'),
        Case("filter: network type", "GET", '/networks?filters={"type":["x"]}'),
        Case("filter: network scope", "GET", '/networks?filters={"scope":["x"]}'),
        Case("filter: dangling", "GET", '/networks?filters={"dangling":["x"]}'),
        Case("filter: up to date", "GET", '/tasks?filters={"_up-to-date":["x"]}'),
        Case("events: filter", "GET", '/events?until=1&filters={"nonsense":["x"]}'),
        Case("events: no JSON", "GET", "/events?until=1&filters=x"),
        Case("events: bad since", "GET", "/events?since=x&until=1"),
        Case("events: bad until", "GET", "/events?until=x"),
        Case("events: since after until", "GET", "/events?since=5&until=1"),
        Case("ambiguous: a secret", "GET", "/secrets/$shared"),
        Case("ambiguous: a secret removed", "DELETE", "/secrets/$shared"),
        Case("path: nowhere", "GET", "/nowhere"),
        Case("path: nowhere, versioned", "GET", "/v1.41/nowhere"),
        Case("path: version too new", "GET", "/v1.99/services"),
        Case("path: version too old", "GET", "/v1.0/services"),
        Case("path: no version", "GET", "/vx/services"),
        Case("path: slash", "GET", "/services/"),
        Case("path: two slashes", "GET", "//services"),
        Case("path: root", "GET", "/"),
        Case("distribution", "GET", "/distribution/UPPER/json"),
    ]
    return found


def _refused() -> list[Case]:
    def create(name: str, body: Any) -> Case:
        return Case(f"service: {name}", "POST", "/services/create", body)

    def update(name: str, body: Any, version: str = "$webv") -> Case:
        return Case(f"update: {name}", "POST", f"/services/web/update?version={version}", body)

    kept = service("web", EndpointSpec=port())
    found = [
        *(create(f"name {name!r}", service(name)) for name in ("bad/name", "-x", "x" * 64, "a b", "é", "a.b", "web_")),
        create("name taken", service("web")),
        create("no template", {"Name": "x"}),
        create("no container", {"Name": "x", "TaskTemplate": {}}),
        create("no image", service(image="")),
        *(create(f"image {image}", service(image=image)) for image in ("UPPER", "a b", ":x", "x:y:z", "x@sha256:1")),
        create("port taken", service(EndpointSpec=port())),
        create("port taken, host", service(EndpointSpec=port(PublishMode="host"))),
        create("port twice", service(EndpointSpec={"Ports": port()["Ports"] * 2})),
        create("port dnsrr", service(EndpointSpec={"Mode": "dnsrr", **port(8099)})),
        create("port protocol", service(EndpointSpec=port(8098, Protocol="x"))),
        create("port mode", service(EndpointSpec=port(8097, PublishMode="x"))),
        create("port 0", service(EndpointSpec=port(8096, 0))),
        create("port 70000", service(EndpointSpec=port(70000))),
        create("endpoint mode", service(EndpointSpec={"Mode": "x"})),
        create("two modes", service(Mode={"Global": {}, "Replicated": {}})),
        create("network nowhere", service(TaskTemplate={"Networks": [{"Target": "nowhere"}]})),
        create("network without a name", service(TaskTemplate={"Networks": [{}]})),
        create("network bridge", service(TaskTemplate={"Networks": [{"Target": LOCAL_NETWORK}]})),
        create("network ingress", service(TaskTemplate={"Networks": [{"Target": "ingress"}]})),
        create("network twice", service("twice", TaskTemplate={"Networks": [{"Target": "net"}, {"Target": "net"}]})),
        create("constraint", service(TaskTemplate={"Placement": {"Constraints": ["node.role=manager"]}})),
        create("constraint key", service("odd", TaskTemplate={"Placement": {"Constraints": ["node.x==manager"]}})),
        create("restart word", service(TaskTemplate={"RestartPolicy": {"Condition": "x"}})),
        create("restart delay", service(TaskTemplate={"RestartPolicy": {"Delay": -1}})),
        create("restart window", service(TaskTemplate={"RestartPolicy": {"Window": -1}})),
        create("cpu", service(TaskTemplate={"Resources": {"Limits": {"NanoCPUs": 1}}})),
        create("cpu below 0", service(TaskTemplate={"Resources": {"Limits": {"NanoCPUs": -1}}})),
        create("memory", service(TaskTemplate={"Resources": {"Reservations": {"MemoryBytes": 100}}})),
        create("pids", service(TaskTemplate={"Resources": {"Limits": {"Pids": -2}}})),
        create("update action", service(UpdateConfig={"FailureAction": "x"})),
        create("update order", service(UpdateConfig={"Order": "x"})),
        create("update delay", service(UpdateConfig={"Delay": -1})),
        create("update monitor", service(UpdateConfig={"Monitor": -1})),
        create("update ratio", service(UpdateConfig={"MaxFailureRatio": 2})),
        create("rollback ratio", service(RollbackConfig={"MaxFailureRatio": -1})),
        create("job with updates", service(Mode={"GlobalJob": {}}, UpdateConfig={"Parallelism": 1})),
        create(
            "secret nowhere",
            service(ContainerSpec={"Secrets": [{"SecretID": "x", "SecretName": "x", "File": {"Name": "f"}}]}),
        ),
        create(
            "secret without a name",
            service(ContainerSpec={"Secrets": [{"SecretID": "$secret", "File": {"Name": "f"}}]}),
        ),
        create(
            "secret without a file", service(ContainerSpec={"Secrets": [{"SecretID": "$secret", "SecretName": "held"}]})
        ),
        create(
            "secret under another name",
            service(ContainerSpec={"Secrets": [{"SecretID": "$secret", "SecretName": "free", "File": {"Name": "f"}}]}),
        ),
        create(
            "secrets, one target",
            service(
                ContainerSpec={
                    "Secrets": [
                        {"SecretID": "$secret", "SecretName": "held", "File": {"Name": "f"}},
                        {"SecretID": "$free", "SecretName": "free", "File": {"Name": "f"}},
                    ]
                }
            ),
        ),
        create(
            "config nowhere",
            service(ContainerSpec={"Configs": [{"ConfigID": "x", "ConfigName": "x", "File": {"Name": "f"}}]}),
        ),
        create(
            "config without a file", service(ContainerSpec={"Configs": [{"ConfigID": "$config", "ConfigName": "held"}]})
        ),
        create("mount without a target", service(ContainerSpec={"Mounts": [{"Type": "bind", "Source": "/x"}]})),
        create("mount of no type", service(ContainerSpec={"Mounts": [{"Type": "x", "Source": "/x", "Target": "/y"}]})),
        create(
            "mount twice",
            service(ContainerSpec={"Mounts": [{"Type": "volume", "Target": "/a"}, {"Type": "volume", "Target": "/a"}]}),
        ),
        create(
            "mount relative",
            service("rel", ContainerSpec={"Mounts": [{"Type": "bind", "Source": "x", "Target": "/y"}]}),
        ),
        create("health interval", service(ContainerSpec={"Healthcheck": {"Test": ["CMD", "x"], "Interval": 1}})),
        create("health timeout", service(ContainerSpec={"Healthcheck": {"Test": ["CMD", "x"], "Timeout": 1}})),
        create("health retries", service(ContainerSpec={"Healthcheck": {"Test": ["CMD", "x"], "Retries": -1}})),
        create("isolation", service("iso", ContainerSpec={"Isolation": "x"})),
        create("template", service(ContainerSpec={"Env": ["A={{.Nothing}}"]})),
        create("template open", service(ContainerSpec={"Env": ["A={{"]})),
        create("template hostname", service(ContainerSpec={"Hostname": "{{.Task.Nothing}}"})),
        create("runtime", service(TaskTemplate={"Runtime": "x"})),
        create("runtime plugin", service(TaskTemplate={"Runtime": "plugin"})),
        create("swap", service("swap", TaskTemplate={"Resources": {"SwapBytes": 5}})),
        create("platform", service("plat", TaskTemplate={"Placement": {"Platforms": [{"OS": "x"}]}})),
        create("log driver", service("logs", TaskTemplate={"LogDriver": {"Name": "x"}})),
        update("no version", kept, ""),
        update("a version that is none", kept, "x"),
        update("a negative one", kept, "-1"),
        update("a huge one", kept, str(2**64)),
        update("stale", kept, "1"),
        update("another name", {**kept, "Name": "other"}),
        update("another mode", {**kept, "Mode": {"Global": {}}}),
        update("no image", {**service("web", image=""), "EndpointSpec": port()}),
        update("taken name", {**kept, "Name": "everywhere"}),
        Case("update: rollback to nothing", "POST", "/services/web/update?version=$webv&rollback=previous", kept),
        Case("update: rollback x", "POST", "/services/web/update?version=$webv&rollback=x", kept),
        Case("update: auth from", "POST", "/services/web/update?version=$webv&registryAuthFrom=x", kept),
    ]
    return found


def _objects() -> list[Case]:
    found: list[Case] = []
    for kind, word, version in (("secret", "secret", "$heldv"), ("config", "config", "$confv")):
        path, spec = f"/{kind}s/held/update", {"Name": "held"}
        found += [
            *(Case(f"{kind}: name {name[:9]!r}", "POST", f"/{kind}s/create", {"Name": name, "Data": "eA=="})
              for name in ("", "bad/name", "-x", "x.", "x" * 65, "a b", "é", "a_b/c")),
            Case(f"{kind}: taken", "POST", f"/{kind}s/create", {"Name": "held", "Data": "eA=="}),
            Case(f"{kind}: no data", "POST", f"/{kind}s/create", {"Name": "x"}),
            Case(f"{kind}: empty data", "POST", f"/{kind}s/create", {"Name": "x", "Data": ""}),
            Case(f"{kind}: too large", "POST", f"/{kind}s/create", {"Name": "x", "Data": "eHh4" * 350_000}),
            Case(f"{kind}: in use", "DELETE", f"/{kind}s/held"),
            Case(f"{kind}: in use, by id", "DELETE", f"/{kind}s/${word}"),
            Case(f"{kind}: no version", "POST", path, spec),
            Case(f"{kind}: no number", "POST", f"{path}?version=x", spec),
            Case(f"{kind}: stale", "POST", f"{path}?version=1", spec),
            Case(f"{kind}: other data", "POST", f"{path}?version={version}", {**spec, "Data": "eHg="}),
            Case(f"{kind}: other name", "POST", f"{path}?version={version}", {"Name": "x"}),
            Case(f"{kind}: golang", "POST", f"/{kind}s/create", {**spec, "Data": "eA==", "Templating": {"Name": "x"}}),
        ]  # fmt: skip
    found += [
        Case(
            "secret: driver and data",
            "POST",
            "/secrets/create",
            {"Name": "drv", "Data": "eA==", "Driver": {"Name": "x"}},
        ),
        Case("node: role", "POST", "/nodes/$node/update?version=$nodev", {"Role": "x", "Availability": "active"}),
        Case("node: no role", "POST", "/nodes/$node/update?version=$nodev", {"Availability": "active"}),
        Case(
            "node: availability", "POST", "/nodes/$node/update?version=$nodev", {"Role": "manager", "Availability": "x"}
        ),
        Case(
            "node: demoted", "POST", "/nodes/$node/update?version=$nodev", {"Role": "worker", "Availability": "active"}
        ),
        Case("node: stale", "POST", "/nodes/$node/update?version=1", {"Role": "manager", "Availability": "active"}),
        Case("node: no version", "POST", "/nodes/$node/update", {"Role": "manager"}),
        Case("node: removed", "DELETE", "/nodes/$node"),
        Case("node: removed with force", "DELETE", "/nodes/$node?force=1"),
        Case("swarm: init again", "POST", "/swarm/init", {"ListenAddr": "0.0.0.0"}),
        Case("swarm: join", "POST", "/swarm/join", {"RemoteAddrs": ["127.0.0.1:1"]}),
        Case("swarm: stale", "POST", "/swarm/update?version=1", {"Name": "default"}),
        Case("swarm: no version", "POST", "/swarm/update", {"Name": "default"}),
        Case("swarm: name", "POST", "/swarm/update?version=$swarmv", {"Name": "x"}),
        Case("swarm: flag", "POST", "/swarm/update?version=$swarmv&rotateWorkerToken=x", {"Name": "default"}),
        Case(
            "swarm: expiry",
            "POST",
            "/swarm/update?version=$swarmv",
            {"Name": "default", "CAConfig": {"NodeCertExpiry": 60 * 10**9}},
        ),
        Case("swarm: leave", "POST", "/swarm/leave"),
        Case("swarm: unlock", "POST", "/swarm/unlock", {"UnlockKey": "x"}),
    ]
    return found


def _networks() -> list[Case]:
    def create(name: str, body: Any) -> Case:
        return Case(f"network: {name}", "POST", "/networks/create", body)

    def wide(name: str = "wide", **fields: Any) -> dict[str, Any]:
        return {"Name": name, "Driver": "overlay", **fields}

    def pool(**fields: str) -> dict[str, Any]:
        return {"IPAM": {"Config": [fields]}}

    return [
        create("no name", wide("")),
        create("blank", wide(" ")),
        create("taken", wide("net")),
        create("taken, ingress", wide("ingress")),
        create("slash", wide("a/b")),
        create("driver", {"Name": "x", "Driver": "nowhere"}),
        create("host", {"Name": "host", "Driver": "host"}),
        create("another host", {"Name": "host2", "Driver": "host"}),
        create("bridge", {"Name": "bridge"}),
        create("second ingress", wide("second", Ingress=True)),
        create("ingress, attachable", wide("third", Ingress=True, Attachable=True)),
        create("ingress of a bridge", {"Name": "x", "Driver": "bridge", "Ingress": True}),
        create("subnet", wide(**pool(Subnet="x"))),
        create("subnet without a mask", wide(**pool(Subnet="10.0.0.0"))),
        create("subnet 33", wide(**pool(Subnet="10.0.0.0/33"))),
        create("host bits", wide("bits", **pool(Subnet="10.99.0.5/24"))),
        create("gateway", wide(**pool(Subnet="10.98.0.0/24", Gateway="x"))),
        create("gateway outside", wide("gwout", **pool(Subnet="10.97.0.0/24", Gateway="10.1.0.1"))),
        create("range", wide(**pool(Subnet="10.96.0.0/24", IPRange="x"))),
        create("range outside", wide("rangeout", **pool(Subnet="10.95.0.0/24", IPRange="10.1.0.0/25"))),
        create("gateway alone", wide("gwonly", **pool(Gateway="10.94.0.1"))),
        create("ipam driver", wide("ipamdrv", IPAM={"Driver": "nowhere"})),
        create("scope", {"Name": "x", "Scope": "nowhere"}),
        create("local overlay", wide("local", Scope="local")),
        create("swarm bridge", {"Name": "x", "Driver": "bridge", "Scope": "swarm"}),
        create("config only", {"Name": "conf", "ConfigOnly": True, "ConfigFrom": {"Network": "x"}}),
        create("config from nowhere", {"Name": "x", "ConfigFrom": {"Network": "nowhere"}}),
        create("bridge subnet", {"Name": "x", "Driver": "bridge", **pool(Subnet="x")}),
        create("bridge gateway", {"Name": "x", "Driver": "bridge", **pool(Subnet="172.29.0.0/24", Gateway="x")}),
        Case("network: in use", "DELETE", "/networks/net"),
        Case("network: ingress in use", "DELETE", "/networks/ingress"),
        Case("network: predefined", "DELETE", "/networks/host"),
        Case("network: bridge removed", "DELETE", "/networks/bridge"),
        Case("network: scope", "GET", "/networks/net?scope=local"),
        Case("network: prune filter", "POST", '/networks/prune?filters={"x":["y"]}'),
        Case("network: connect nobody", "POST", "/networks/net/connect", {"Container": "nobody"}),
        Case("network: connect nowhere", "POST", "/networks/nowhere/connect", {"Container": "nobody"}),
    ]


CASES = [*_broken(), *_typed(), *_unknown(), *_refused(), *_objects(), *_networks()]
PLUGINLESS = frozenset({"network: driver", "network: ipam driver", "secret: driver and data"})
"""Cases that name a plugin which is not there: an engine looks for it for 15 seconds."""

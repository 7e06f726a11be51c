"""Every field of a spec knows the line that asks for it."""

from __future__ import annotations

import pickle

import pytest

from reconciler.manifests.load import load_again, load_stack_file
from reconciler.manifests.spec_path import spec_steps
from reconciler.model.desired import DesiredState
from reconciler.model.errors import Place
from reconciler.model.objects import Kind
from tests.unit.manifests.builders import CLUSTER, inputs, loaded, revision, stack
from tests.unit.manifests.every_key import FILES, STACK


def line(state: DesiredState, path: str, name: str = "s_a") -> str:
    """The place of one field, "-" where no line asks for it."""
    [wanted] = [each for each in state.objects if each.name == name]
    assert wanted.where is not None
    return str(wanted.where(path) or "-")


def lines(keys: str, *paths: str, files: dict[str, str] | None = None) -> list[str]:
    text = "services:\n  a:\n    image: i\n" + keys
    return [line(stack(text, FILES | (files or {})), path) for path in paths]


def env(name: str) -> str:
    return f"TaskTemplate.ContainerSpec.Env[{name}]"


def test_a_variable_of_an_env_file_is_found_in_that_file() -> None:
    keys = "    env_file: [a.env, d/b.env]\n    environment: [OWN=1, SECOND=4]\n"
    names = ("FROM_FILE", "SECOND", "OWN", "BOTH", "GONE")
    found = lines(keys, *map(env, names), files={"d/b.env": "BOTH=1\n", "a.env": FILES["a.env"] + "BOTH=0"})
    assert found == ["a.env:4:1", "web.yaml:5:26", "web.yaml:5:19", "d/b.env:1:1", "-"]


def test_the_same_when_files_are_merged() -> None:
    files = {
        "one.yaml": "services:\n  a:\n    image: i\n    env_file: [a.env]\n",
        "two.yaml": "services:\n  a: {user: u}",
    }
    state = load_stack_file(revision(files | FILES), "one.yaml", "s", inputs(), ("two.yaml",))
    assert [line(state, env(name)) for name in ("SECOND", "FROM_FILE", "GONE")] == ["a.env:3:3", "a.env:4:1", "-"]
    assert line(state, "TaskTemplate.ContainerSpec.User") == "two.yaml:2:7"
    assert line(state, "TaskTemplate.ContainerSpec.Image") == "one.yaml:3:5"


def test_an_anchor_and_a_merge_key_lead_to_the_line_that_holds_the_value() -> None:
    text = """\
x-common: &common
  user: u
  deploy: &deploy
    replicas: 2
services:
  a:
    <<: *common
    image: i
    deploy:
      <<: *deploy
      labels: {a: b}
"""
    state = stack(text)
    assert line(state, "TaskTemplate.ContainerSpec.User") == "web.yaml:2:3"
    assert line(state, "Mode.Replicated.Replicas") == "web.yaml:4:5"
    assert line(state, 'Labels["a"]') == "web.yaml:11:16"


def test_what_the_extension_patches_wins() -> None:
    keys = """\
    user: u
    environment: {A: "1"}
    volumes: [data:/data]
    x-swarmctl:
      spec:
        Labels: {a.b: c}
        TaskTemplate:
          RestartPolicy: null
          ContainerSpec:
            User: other
            Env: [A=2]
            Mounts:
              - {Target: /one, Type: tmpfs}
              - {Target: /two, Type: tmpfs}
volumes: {data: {}}
"""
    container = "TaskTemplate.ContainerSpec"
    paths = {
        f"{container}.User": "web.yaml:13:13",
        env("A"): "web.yaml:14:19",
        env("GONE"): "web.yaml:14:13",
        f"{container}.Env (order)": "web.yaml:14:13",
        f"{container}.Mounts[/two].Type": "web.yaml:17:32",
        f"{container}.Mounts[/two].ReadOnly": "web.yaml:17:17",
        f"{container}.Mounts[/data].Source": "web.yaml:15:13",
        "TaskTemplate.RestartPolicy.Delay": "web.yaml:11:11",
        'Labels["a.b"]': "web.yaml:9:18",
        f"{container}.Image": "web.yaml:3:5",
        "TaskTemplate.Networks[s_default].Target": "-",
    }
    assert dict(zip(paths, lines(keys, *paths), strict=True)) == paths


def test_extensions_of_two_files_are_each_found_in_their_own() -> None:
    one = "services:\n  a:\n    image: i\n    x-swarmctl: {spec: {Labels: {a: '1', b: '1'}}}\n"
    two = "services:\n\n  a:\n    x-swarmctl: {spec: {Labels: {b: '2', c: '2'}}}\n"
    files = revision({"one.yaml": one, "two.yaml": two})
    state = load_stack_file(files, "one.yaml", "s", inputs(), ("two.yaml",))
    found = [line(state, f'Labels["{name}"]') for name in "abc"]
    assert found == ["one.yaml:4:34", "two.yaml:4:34", "two.yaml:4:42"]


@pytest.mark.parametrize(
    ("keys", "path", "place"),
    [
        ("networks: [n, m]", "TaskTemplate.Networks[s_m].Target", "web.yaml:4:19"),
        ("networks: {m: }", "TaskTemplate.Networks[s_m].Aliases", "web.yaml:4:16"),
        ("networks: {m: }", "TaskTemplate.Networks[s_n].Aliases", "-"),
        ("networks: [far]", "TaskTemplate.Networks[name.of.far].Target", "web.yaml:4:16"),
        ("networks: [n, m]", "TaskTemplate.Networks (order)", "web.yaml:4:5"),
        ("labels: [a=1, b=2, a=3]", 'TaskTemplate.ContainerSpec.Labels["a"]', "web.yaml:4:24"),
        ("labels: {a.b: '1'}", 'TaskTemplate.ContainerSpec.Labels["a.b"]', "web.yaml:4:14"),
        ("labels: {a.b: '1'}", 'TaskTemplate.ContainerSpec.Labels["a"]', "-"),
        ("environment: {A: }", "TaskTemplate.ContainerSpec.Env[A]", "web.yaml:4:19"),
        ("healthcheck: {disable: true}", "TaskTemplate.ContainerSpec.Healthcheck.Test", "web.yaml:4:19"),
        ("healthcheck: {disable: true}", "TaskTemplate.ContainerSpec.Healthcheck.Retries", "-"),
        ("restart: on-failure:3", "TaskTemplate.RestartPolicy.MaxAttempts", "web.yaml:4:5"),
        ("restart: on-failure:3", "TaskTemplate.RestartPolicy.Delay", "-"),
        ("credential_spec: {config: c}", "TaskTemplate.ContainerSpec.Configs[runtime].ConfigName", "web.yaml:4:23"),
        ("deploy: {resources: {limits: {}}}", "TaskTemplate.Resources.Limits.NanoCPUs", "-"),
        ("deploy: {resources: {limits: {}}}", "TaskTemplate.Resources.Limits", "web.yaml:4:26"),
        ("command: [a]", "TaskTemplate.ContainerSpec.Args[0].x[y]", "web.yaml:4:5"),
        ('ports: ["80:80", "81:80"]', "EndpointSpec.Ports[1].PublishedPort", "web.yaml:4:22"),
        ('ports: ["81:80", "80:80"]', "EndpointSpec.Ports[1].PublishedPort", "web.yaml:4:13"),
        ('ports: ["80:80"]', "EndpointSpec.Ports[81/tcp].PublishedPort", "-"),
        ('ports: ["81:80", "80:80"]', "EndpointSpec.Ports[80/tcp/80].PublishedPort", "web.yaml:4:22"),
        ('ports: ["80", "81:80"]', "EndpointSpec.Ports[80/tcp/any].TargetPort", "web.yaml:4:13"),
        ('ports: ["81:80"]', "EndpointSpec.Ports[80/tcp/82].PublishedPort", "-"),
        ("volumes: ['vol:/x.y]z']", "TaskTemplate.ContainerSpec.Mounts[/x.y]z].Source", "web.yaml:4:15"),
        ("x-swarmctl: {prune: false}", 'Labels["io.swarmctl.prune"]', "web.yaml:4:18"),
        ("user: u", 'Labels["io.swarmctl.prune"]', "-"),
        ("user: u", "", "-"),
        ("user: u", "TaskTemplate", "-"),
        ("user: u", "TaskTemplate.ForceUpdate", "-"),
        ("user: u", "]] [..[", "-"),
    ],
)
def test_one_field(keys: str, path: str, place: str) -> None:
    rest = "networks: {n: {}, m: {}, far: {external: true, name: name.of.far}}\nvolumes: {vol: {}}\n"
    assert lines(f"    {keys}\n{rest}configs: {{c: {{file: s.txt}}}}\n", path) == [place]


def test_a_path_below_a_user_s_key_keeps_the_key_whole() -> None:
    assert spec_steps('Labels["a.b"]') == ("Labels", "a.b")
    assert spec_steps('A.Options["x[0].y"].B (order)') == ("A", "Options", "x[0].y", "B")


NETWORKS = """\
spec:
  networks:
    short:
      subnet: 10.1.0.0/24
      gateway: 10.1.0.1
      labels: {a.b: c}
      prune: false
    long:
      driver: overlay
      driverOpts: {x.y: "1"}
      ipam:
        driver: d
        options: {o: p}
        config:
          - subnet: 10.2.0.0/24
          - {subnet: 10.3.0.0/24, ipRange: 10.3.0.0/25}
"""


@pytest.mark.parametrize(
    ("name", "path", "place"),
    [
        ("short", "IPAM.Config[0].Subnet", "7:7"),
        ("short", "IPAM.Config[0].Gateway", "8:7"),
        ("short", "IPAM.Config[0].IPRange", "-"),
        ("short", "IPAM.Config", "7:7"),
        ("short", 'Labels["a.b"]', "9:16"),
        ("short", "Attachable", "-"),
        ("short", 'Labels["io.swarmctl.prune"]', "10:7"),
        ("long", 'Labels["io.swarmctl.prune"]', "-"),
        ("long", "Driver", "12:7"),
        ("long", 'Options["x.y"]', "13:20"),
        ("long", "IPAM.Driver", "15:9"),
        ("long", 'IPAM.Options["o"]', "16:19"),
        ("long", "IPAM.Config", "17:9"),
        ("long", "IPAM.Config[0].Subnet", "18:13"),
        ("long", "IPAM.Config[1].IPRange", "19:35"),
        ("long", "IPAM.Config[2].Subnet", "-"),
    ],
)
def test_networks_of_swarm_yaml(name: str, path: str, place: str) -> None:
    assert line(loaded({"swarm.yaml": CLUSTER + NETWORKS}), path, name).removeprefix("swarm.yaml:") == place


def test_a_state_that_went_through_a_pickle_still_knows_its_lines() -> None:
    text = STACK.replace("user: u  #> u2", "user: &u u\n    domainname: *u")
    state = stack(text, FILES)
    path = "TaskTemplate.ContainerSpec.StopSignal"
    before = line(state, path, "s_web")
    copy = pickle.loads(pickle.dumps(state))
    assert copy == state
    assert line(copy, path, "s_web") == before == "web.yaml:22:5"


def test_a_stack_that_is_not_compiled_again_still_knows_its_lines() -> None:
    files = {"swarm.yaml": CLUSTER, "stacks/s.yaml": "services:\n  a:\n    image: i\n    user: u\n"}
    first = load_again(revision(files), inputs(), None)
    again = load_again(revision(files), inputs(), first)
    assert again.fresh == ()
    assert line(again.state, "TaskTemplate.ContainerSpec.User") == "stacks/s.yaml:4:5"


def test_nothing_of_a_secret_is_shown() -> None:
    text = "services: {a: {image: i, environment: {A: hunter2}, env_file: a.env}}\nsecrets: {x: {file: s.txt}}\n"
    state = stack(text, {"s.txt": "hunter2", "a.env": "B=hunter2"})
    assert "hunter2" not in repr([each.where for each in state.objects])
    found = [each.place_of("Data") for each in state.of_kind(Kind.SECRET)]
    assert found == [Place("web.yaml", 2, 15, "secrets.x.file")]

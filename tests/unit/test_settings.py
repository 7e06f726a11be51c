"""The environment is read once, by the docker CLI's names."""

from __future__ import annotations

import pytest

from reconciler import settings
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.forges import ForgeName


def test_the_docker_variables_make_the_endpoint():
    read = settings.read({"HOME": "/h", "DOCKER_HOST": "tcp://a:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/c"})
    assert read.endpoint.host == "tcp://a:1"
    assert read.endpoint.tls_verify
    assert read.endpoint.cert_path == "/c"
    assert read.endpoint.config_dir == "/h/.docker"


def test_the_embedded_swarms_folder_follows_xdg():
    assert settings.read({"HOME": "/h"}).data_dir == "/h/.local/state/swarmctl"
    assert settings.read({"HOME": "/h", "XDG_STATE_HOME": "/s"}).data_dir == "/s/swarmctl"
    assert settings.read({"HOME": "/h", "SWARMCTL_DATA_DIR": "/d"}).data_dir == "/d"


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_number_that_makes_no_sense_is_refused(text):
    with pytest.raises(SwarmctlError) as refused:
        settings.read({"HOME": "/h", "SWARMCTL_REQUEST_TIMEOUT": text})
    assert refused.value.code is ErrorCode.BAD_SETTING
    assert "SWARMCTL_REQUEST_TIMEOUT" in str(refused.value)


@pytest.mark.parametrize("text", ["0.5", "0", "-3", "many"])
def test_less_than_one_write_at_once_is_refused(text):
    with pytest.raises(SwarmctlError) as refused:
        settings.read({"HOME": "/h", "SWARMCTL_PARALLEL": text})
    assert refused.value.code is ErrorCode.BAD_SETTING
    assert settings.read({"HOME": "/h", "SWARMCTL_PARALLEL": "1"}).parallel_writes == 1


def test_a_byte_that_is_no_utf_8_is_what_docker_makes_of_it():
    surrogates = b"a\xe2\x82\xffb".decode("utf-8", "surrogateescape")
    read = settings.read({"HOME": "/h", "A": surrogates, "B": "\u00e9"})
    assert read.environment["A"] == "a\ufffd\ufffd\ufffdb"
    assert read.environment["B"] == "\u00e9"


def test_a_token_is_taken_without_the_line_feed_at_its_end():
    for variable in ("SWARMCTL_FORGE_TOKEN", "GITLAB_TOKEN"):
        assert settings.forge({variable: "secret\n"}, ForgeName.GITLAB).token == "secret"


@pytest.mark.parametrize(
    ("event", "commit"),
    [("push", "a" * 40), ("merge_group", "a" * 40), ("pull_request", ""), ("pull_request_target", "")]
    + [(event, "") for event in ("issue_comment", "workflow_run", "workflow_dispatch", "schedule")],
)
def test_a_commit_that_is_not_the_pull_request_s_gets_no_status(event: str, commit: str):
    said = {"GITHUB_SHA": "a" * 40, "GITHUB_EVENT_NAME": event}
    assert settings.forge(said, ForgeName.GITHUB).commit == commit


def test_a_merge_request_of_a_fork_is_where_it_is_and_its_status_where_its_job_runs():
    known = settings.forge({"CI_PROJECT_ID": "51", "CI_MERGE_REQUEST_PROJECT_ID": "9"}, ForgeName.GITLAB)
    assert (known.repository, known.status_repository) == ("9", "51")


def test_no_setting_shows_the_environment():
    assert "hunter2" not in repr(settings.read({"HOME": "/h", "PASSWORD": "hunter2"}))

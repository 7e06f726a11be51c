"""Signed commits and tags, by real gpg and ssh keys: what is not signed by a trusted one is not taken."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.adapters.git.source import GitSource
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import (
    Reference,
    ReferenceKind,
    SignaturePolicy,
    Signed,
    SourceFault,
    SourceRevision,
    SourceSpec,
)
from tests.lab.git_servers import Repository, run
from tests.lab.signers import gpg_signer, ssh_signer

pytestmark = pytest.mark.skipif(
    not shutil.which("gpg") or not shutil.which("ssh-keygen"), reason="needs gpg, ssh-keygen"
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("k")
    signers = {
        "ssh": ssh_signer(folder, "ada"),
        "ssh-other": ssh_signer(folder, "eve"),
        "ssh-old": ssh_signer(folder, "old", 'valid-before="20000101"'),
        "gpg": gpg_signer(folder, "ada"),
        "gpg-other": gpg_signer(folder, "eve"),
    }
    yield signers
    for name in ("gpg", "gpg-other"):
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=signers[name].environment, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path)
    made.commit("unsigned", swarm_DOT_yaml="x\n")
    return made


def source(tmp_path: Path, repository: Repository, policy: SignaturePolicy, kind="branch", value="main") -> GitSource:
    reference = Reference(ReferenceKind(kind), value)
    return GitSource.open(
        str(tmp_path / "data"), SourceSpec("infra", str(repository.bare), reference, signatures=policy)
    )


async def code_of(following: GitSource, before: SourceRevision | None = None) -> ErrorCode:
    found = await following.look(before)
    assert isinstance(found, SourceFault), found
    assert found.commit
    return found.code


@pytest.mark.parametrize("kind", ["ssh", "gpg"])
async def test_only_commits_signed_by_a_trusted_key_are_taken(tmp_path, repository, keys, kind):
    following = source(tmp_path, repository, keys[kind].policy())
    assert await code_of(following) is ErrorCode.SIGNATURE_MISSING
    commit = keys[kind].commit(repository, "signed")
    found = await following.look(None)
    assert isinstance(found, SourceRevision), found
    assert (found.commit, "ada@example.org" in found.signer) == (commit, True)
    keys[f"{kind}-other"].commit(repository, "by somebody else")
    assert await code_of(following, found) is ErrorCode.SIGNATURE_REFUSED
    other_kind = "gpg" if kind == "ssh" else "ssh"
    keys[other_kind].commit(repository, "by a key of the other kind")
    assert await code_of(following, found) is ErrorCode.SIGNATURE_REFUSED
    repository.commit("unsigned on top")
    assert await code_of(following, found) is ErrorCode.SIGNATURE_MISSING
    assert following.revision(found.commit).read("swarm.yaml") == b"x\n"


def forge(repository: Repository, raw: str) -> None:
    """Make a commit object with this text the head of main."""
    line = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
    forged = subprocess.run(line, cwd=repository.bare, input=raw, text=True, capture_output=True, check=True)
    run(repository.bare, "update-ref", "refs/heads/main", forged.stdout.strip())


async def test_an_altered_commit_with_a_copied_signature_is_refused(tmp_path, repository, keys):
    commit = keys["ssh"].commit(repository, "signed")
    raw = repository.git("cat-file", "commit", commit) + "\n"
    forge(repository, raw.replace("signed\n", "forged\n"))
    assert await code_of(source(tmp_path, repository, keys["ssh"].policy())) is ErrorCode.SIGNATURE_REFUSED


async def test_a_key_that_is_no_longer_valid_is_refused(tmp_path, repository, keys):
    keys["ssh-old"].commit(repository, "signed")
    assert await code_of(source(tmp_path, repository, keys["ssh-old"].policy())) is ErrorCode.SIGNATURE_REFUSED


@pytest.mark.parametrize("kind", ["ssh", "gpg"])
async def test_signed_tags(tmp_path, repository, keys, kind):
    policy = keys[kind].policy(Signed.TAG)
    following = source(tmp_path, repository, policy, "semver", ">=1")
    repository.git("tag", "v1.0.0")
    repository.git("tag", "-a", "v1.1.0", "-m", "annotated, unsigned")
    repository.push("--tags")
    assert await code_of(following) is ErrorCode.SIGNATURE_MISSING
    keys[kind].tag(repository, "v1.2.0")
    found = await following.look(None)
    assert isinstance(found, SourceRevision), found
    assert (found.reference, "ada@example.org" in found.signer) == ("refs/tags/v1.2.0", True)
    # Both is asked for, and the commit below the tag is not signed.
    both = source(tmp_path, repository, keys[kind].policy(Signed.TAG_AND_HEAD), "tag", "v1.2.0")
    assert await code_of(both) is ErrorCode.SIGNATURE_MISSING
    # The signed tag of an old release under a new name.
    repository.git("update-ref", "refs/tags/v2.0.0", repository.git("rev-parse", "v1.2.0"))
    repository.push("--tags")
    assert await code_of(following, found) is ErrorCode.SIGNATURE_REFUSED


async def test_the_machines_own_keyring_and_configuration_do_not_count(tmp_path, repository, keys, monkeypatch):
    monkeypatch.setenv("GNUPGHOME", keys["gpg"].environment["GNUPGHOME"])
    keys["gpg"].commit(repository, "signed")
    assert await code_of(source(tmp_path, repository, SignaturePolicy())) is ErrorCode.SIGNATURE_REFUSED


def test_keys_that_are_none_are_told(tmp_path, repository):
    with pytest.raises(SwarmctlError) as caught:
        source(tmp_path, repository, SignaturePolicy(gpg_keys="nonsense"))
    assert caught.value.code is ErrorCode.SOURCE_INVALID


def test_signed_tags_take_a_tag_to_follow(tmp_path, repository, keys):
    with pytest.raises(SwarmctlError) as caught:
        source(tmp_path, repository, keys["ssh"].policy(Signed.TAG))
    assert caught.value.code is ErrorCode.SOURCE_INVALID

"""Whether a commit or a tag was signed by a trusted key: git's own check, with no keys but those of the policy."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from reconciler.adapters.git.command import GitCommand
from reconciler.adapters.git.faults import Faulted
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import SignaturePolicy, SourceFault

VERIFY_S: Final = 20.0
_IMPORT_S: Final = 30
_GOOD_GPG: Final = re.compile(r"^\[GNUPG:\] GOODSIG [0-9A-F]+ (.*)$", re.MULTILINE)
_VALID_GPG: Final = re.compile(r"^\[GNUPG:\] VALIDSIG ([0-9A-F]+)", re.MULTILINE)
_GOOD_SSH: Final = re.compile(r'^Good "git" signature for (\S+) with (.*)$', re.MULTILINE)
_ARMORED: Final = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n.*?\n-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)
_SIGNATURE: Final = re.compile(rb"^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SSH SIGNATURE|SIGNED MESSAGE)-----", re.M)
_REASONS: Final = (
    ("REVKEYSIG", "Its key was revoked."),
    ("EXPKEYSIG", "Its key has expired."),
    ("EXPSIG", "The signature has expired."),
    ("BADSIG", "The signature does not fit what was signed."),
    ("NO_PUBKEY", "Its key is not among those that are trusted."),
    ("No principal matched", "Its key is not among those that are trusted."),
    ("incorrect signature", "The signature does not fit what was signed."),
    ("Could not verify signature", "The signature does not fit what was signed."),
)


class Keys(msgspec.Struct, frozen=True):
    """The trusted keys, on disk in a form that git's helpers read."""

    gpg_home: Path
    allowed_signers: Path

    def configuration(self) -> str:
        """Return what git's configuration says of them."""
        return f'[gpg "ssh"]\n\tallowedSignersFile = "{self.allowed_signers}"\n'

    def variables(self) -> Mapping[str, str]:
        """Return what gpg's environment says of them."""
        return {"GNUPGHOME": str(self.gpg_home)}


def lay_out(folder: Path, policy: SignaturePolicy) -> Keys:
    """Write the policy's keys below `folder` and return where they are; what was there for another policy goes.

    Raises source-invalid when gpg takes no key from what it is given, or is not installed.
    """
    digest = hashlib.sha256(f"{policy.gpg_keys}\0{policy.allowed_signers}".encode()).hexdigest()[:16]
    done = folder / digest
    keys = Keys(done / "gnupg", done / "allowed_signers")
    if done.is_dir():
        return keys
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    making = Path(tempfile.mkdtemp(dir=folder))
    home = making / "gnupg"
    home.mkdir(mode=0o700)
    # The keys of a smartcard or an agent are nobody's to ask, and no key is ever fetched.
    (home / "gpg.conf").write_text(
        "no-auto-key-retrieve\nno-auto-key-locate\nbatch\nno-autostart\nno-permission-warning\n"
    )
    (making / "allowed_signers").write_text(policy.allowed_signers)
    if policy.gpg_keys.strip():
        _import(home, policy.gpg_keys)
    making.rename(done)
    return keys


def _import(home: Path, keys: str) -> None:
    """Make a keyring of armored keys. Not by `--import`: that asks an agent, whose socket's path may be too long."""
    blocks = _ARMORED.findall(keys)
    if not blocks or "PRIVATE KEY" in keys:
        raise _bad_keys("They are not armored public keys.")
    (home / "pubring.gpg").write_bytes(b"".join(_gpg(home, "--dearmor", given=block) for block in blocks))
    if not any(line.startswith(b"pub:") for line in _gpg(home, "--list-keys", "--with-colons").splitlines()):
        raise _bad_keys("gpg does not take them for public keys.")


def _gpg(home: Path, *words: str, given: str = "") -> bytes:
    line = ["gpg", "--homedir", str(home), "--no-autostart", "--batch", "--quiet", *words]
    try:
        done = subprocess.run(line, input=given.encode(), capture_output=True, timeout=_IMPORT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _bad_keys("gpg can't be run; it comes with the package gnupg.") from error
    if done.returncode != 0:
        raise _bad_keys("gpg does not take them for public keys.")
    return done.stdout


def _bad_keys(why: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.SOURCE_INVALID,
        "The trusted keys of a source can't be used.",
        why=why,
        hint="Give what `gpg --armor --export KEY` prints.",
    )


async def signer_of(git: GitCommand, repository: Path, object_id: str, tag: str = "") -> str:
    """Return who signed a commit, or the annotated tag `tag`. Raises Faulted: signature-missing, signature-refused."""
    is_tag = bool(tag)
    noun = "tag" if is_tag else "commit"
    verb = "verify-tag" if is_tag else "verify-commit"
    content = (await git.run(repository, "cat-file", noun, object_id, wait_s=VERIFY_S)).output
    if not _is_signed(content, is_tag=is_tag):
        raise Faulted(
            SourceFault(
                ErrorCode.SIGNATURE_MISSING,
                f"The {noun} {object_id[:12]} is not signed.",
                "This source takes signed ones only.",
                f"Sign it (`git {'tag' if is_tag else 'commit'} -S`)." if not is_tag else "Sign it (`git tag -s`).",
            )
        )
    ended = await git.run(repository, verb, "--raw", object_id, wait_s=VERIFY_S)
    if is_tag and _tag_name(content) != tag:
        # Whoever may push could else hang an old release's signed tag under a new name.
        why = f"It was signed as another tag than {tag[:60]!r}."
    elif ended.ok and (name := _signer(ended.error)):
        return name
    else:
        why = next((reason for sign, reason in _REASONS if sign in ended.error), "It can't be verified.")
    raise Faulted(
        SourceFault(
            ErrorCode.SIGNATURE_REFUSED,
            f"The signature of the {noun} {object_id[:12]} does not count.",
            why,
            "Have it signed by a trusted key, or add the signer's key to those of this source.",
        )
    )


def _is_signed(content: bytes, *, is_tag: bool) -> bool:
    headers, _, body = content.partition(b"\n\n")
    if is_tag:
        return _SIGNATURE.search(body) is not None
    return re.search(rb"^gpgsig(?:-sha256)? ", headers, re.MULTILINE) is not None


def _tag_name(content: bytes) -> str:
    headers = content.partition(b"\n\n")[0].decode("utf-8", "replace").splitlines()
    return next((line.removeprefix("tag ") for line in headers if line.startswith("tag ")), "")


def _signer(error: str) -> str:
    """Return the name in what gpg or ssh-keygen reported of a good signature, "" when neither did."""
    if good := _GOOD_GPG.search(error):
        valid = _VALID_GPG.search(error)
        key = f" ({valid.group(1)[-16:]})" if valid else ""
        return _printable(good.group(1)) + key
    if good := _GOOD_SSH.search(error):
        return _printable(good.group(1))
    return ""


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:200]

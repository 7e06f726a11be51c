"""People who sign commits and tags, by real gpg and ssh keys of their own."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.sources import SignaturePolicy, Signed
from tests.lab.git_servers import Repository


@dataclass
class Signer:
    """A key, how git signs with it, and what a policy trusts it by."""

    settings: tuple[str, ...]
    environment: dict[str, str]
    gpg_keys: str = ""
    allowed_signers: str = ""

    def commit(self, repository: Repository, message: str) -> str:
        repository.git(*self.settings, "commit", "-q", "--allow-empty", "-S", "-m", message, **self.environment)
        repository.push()
        return repository.git("rev-parse", "HEAD")

    def tag(self, repository: Repository, name: str) -> None:
        repository.git(*self.settings, "tag", "-s", name, "-m", name, **self.environment)
        repository.push("--tags")

    def policy(self, signed: Signed = Signed.HEAD) -> SignaturePolicy:
        return SignaturePolicy(signed, self.gpg_keys, self.allowed_signers)


def ssh_signer(folder: Path, name: str, options: str = "") -> Signer:
    key = folder / f"{name}.key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = " ".join(key.with_suffix(".key.pub").read_text().split()[:2])
    settings = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}")
    return Signer(settings, {}, allowed_signers=f"{name}@example.org {options} {public}\n")


def gpg_signer(folder: Path, name: str, expires: str = "never") -> Signer:
    # A socket of gpg-agent lies beside the keys, and its path must be short.
    home = folder / name[0]
    home.mkdir(mode=0o700)
    line = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*line, "--quick-gen-key", f"{name}@example.org", "ed25519", "sign", expires], check=True)
    shown = subprocess.run([*line, "--armor", "--export"], check=True, capture_output=True, text=True)
    return Signer(("-c", f"user.signingKey={name}@example.org"), {"GNUPGHOME": str(home)}, gpg_keys=shown.stdout)

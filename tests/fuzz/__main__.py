"""Mutated stack files by the ten thousand: `make fuzz [FILES=100000] [CORPUS=DIR]`.

Each file is a real one with a few places changed: bytes, words, lines, or a piece of another file. The loader must end
within SECONDS_MAX, raise nothing but SwarmctlError, give every error a place, and stay within MEMORY_MAX_MIB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path

from reconciler.adapters.schema_files import read_schemas
from reconciler.manifests.load import LoadInputs, load_stack_file
from reconciler.model.errors import SwarmctlError
from tests.unit.manifests.builders import MemoryRevision

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 1.0
MEMORY_MAX_MIB = 256
EDITS_MAX = 3
SEED_BYTES_MAX = 60_000
CRUMBS = (
    *"&*!|>%@`{}[],:#?-~\"'$\0\t\n\r\\",
    "<<: *a", "&a ", "*a", "${", "${A:-", "$$", "{{.Task.Slot}}", "{{", "!!python/object/apply:os.system [x]", "---",
    "...",
    "null", "~", "true", "-1", "0x", "1e999", "9" * 40, ".inf", "2001-01-01", "\ufeff", "\u2028", "é", "\ud800",
    "  ", "\n  - ", "services:", "image: ", "deploy: {replicas: ", "version: '3.8'\n", "x-swarmctl: {spec: {}}",
)  # fmt: skip


def seeds(corpus: Path | None) -> list[str]:
    """The texts to start from: the examples, and every YAML file of a corpus."""
    paths = [*(ROOT / "examples").rglob("*.yaml"), *(corpus.rglob("*.y*ml") if corpus else ())]
    texts = [path.read_bytes().decode("utf-8", "replace") for path in sorted(paths)]
    return [text for text in texts if len(text) < SEED_BYTES_MAX]


def mutated(chance: random.Random, texts: list[str]) -> bytes:
    """One of `texts` with up to EDITS_MAX places changed."""
    text = chance.choice(texts)
    for _ in range(chance.randint(1, EDITS_MAX)):
        at, length = chance.randrange(len(text) + 1), chance.choice((0, 1, 1, 3, 20, 200))
        other = chance.choice(texts)
        start = chance.randrange(len(other) + 1)
        piece = chance.choice((chance.choice(CRUMBS), other[start : start + chance.choice((5, 40, 400))], ""))
        text = text[:at] + piece + text[at + length :]
    content = text.encode("utf-8", "surrogatepass")
    if chance.random() < 0.05:
        at = chance.randrange(len(content) + 1)
        content = content[:at] + chance.randbytes(3) + content[at:]
    return content


def work(share: tuple[int, int, list[str]]) -> tuple[Counter[str], list[str], float]:
    """Load `count` mutated files; return how they ended, what was wrong, and the slowest one's seconds."""
    seed, count, texts = share
    chance = random.Random(seed)
    inputs = LoadInputs(read_schemas(), {"A": "a"}, "/root", "/repository")
    endings: Counter[str] = Counter()
    wrong: list[str] = []
    slowest_s = 0.0
    for number in range(count):
        content = mutated(chance, texts)
        began = time.perf_counter()
        try:
            load_stack_file(MemoryRevision({"s.yaml": content}), "s.yaml", "fuzz", inputs)
            endings["accepted"] += 1
        except SwarmctlError as error:
            endings["refused"] += 1
            if any(problem.place is None for problem in error.problems):
                wrong.append(f"seed {seed} file {number}: a problem without a place: {error.problems[0].what}")
        except Exception as error:  # noqa: BLE001 - finding these is what this is for
            wrong.append(f"seed {seed} file {number}: {type(error).__name__}: {error}")
        took_s = time.perf_counter() - began
        slowest_s = max(slowest_s, took_s)
        if took_s > SECONDS_MAX:
            wrong.append(f"seed {seed} file {number}: {took_s:.1f} s")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if peak_mib > MEMORY_MAX_MIB:
        wrong.append(f"seed {seed}: {peak_mib:.0f} MiB")
    endings["peak MiB"] = int(peak_mib)
    return endings, wrong, slowest_s


def main() -> int:
    """Share the files out to processes, print the totals; return 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--corpus", default="")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    texts = seeds(Path(chosen.corpus) if chosen.corpus else None)
    batch = 2_000
    shares = [(chosen.seed + number, min(batch, chosen.files - batch * number), texts)
              for number in range(-(-chosen.files // batch))]  # fmt: skip
    endings: Counter[str] = Counter()
    wrong: list[str] = []
    slowest_s, peak_mib = 0.0, 0
    with multiprocessing.Pool(maxtasksperchild=1) as pool:
        for done, (counted, found, took_s) in enumerate(pool.imap_unordered(work, shares), start=1):
            peak_mib = max(peak_mib, counted.pop("peak MiB"))
            endings += counted
            wrong += found
            slowest_s = max(slowest_s, took_s)
            print(f"\r{done * batch} of {chosen.files} files", end="", file=sys.stderr, flush=True)
    total = endings["accepted"] + endings["refused"]
    print(
        f"\n{total} mutated files of {len(texts)} seeds: {endings['accepted']} accepted, {endings['refused']} refused"
    )
    print(f"slowest {slowest_s:.2f} s, peak memory {peak_mib} MiB, {len(wrong)} wrong")
    print("\n".join(wrong[:20]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m proof.fuzz TARGET --seed N --minutes M`: look for inputs that do harm."""

import argparse
import importlib.util
import logging
import random
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["CORPUS", "main"]

CORPUS: Final = Path(__file__).parents[2] / "tests" / "proof" / "fuzz" / "corpus"


def main() -> int:
    options = _options()
    if options.target != "door":  # which listens to them
        logging.disable(logging.CRITICAL)
    has_atheris = importlib.util.find_spec("atheris") is not None and not options.by_hand
    if has_atheris:
        import atheris

        with atheris.instrument_imports(include=["headrace"]):
            from proof.fuzz.targets import TARGETS

            seeds = list(TARGETS[options.target].seeds())  # which imports what comes late
    else:
        from proof.fuzz.targets import TARGETS

        seeds = list(TARGETS[options.target].seeds())
    from proof.fuzz.engine import by_atheris, by_hand, name_of

    target = TARGETS[options.target]
    kept = sorted((CORPUS / target.name).glob("*"))
    known = [*seeds, *(path.read_bytes() for path in kept)]
    seconds = max(int(options.minutes * 60), 1)
    place = Path(options.out or tempfile.mkdtemp(prefix=f"headrace-fuzz-{target.name}-"))
    print(f"{target.name}, seed {options.seed}, {seconds} s, finds go to {place}", flush=True)
    if has_atheris:
        corpus = place / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        return by_atheris(target, corpus, known, options.seed, seconds)
    found = by_hand(target, known, options.seed, seconds)
    place.mkdir(parents=True, exist_ok=True)
    for data in found:
        (place / f"crash-{name_of(data)}").write_bytes(data)
    return min(len(found), 1)


def _options() -> argparse.Namespace:
    names = ("requests", "door", "batches", "segments", "files", "http", "http2", "messages")
    names += ("config", "patterns", "subscriptions")
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("target", choices=names)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--by-hand", action="store_true", help="without atheris")
    parser.add_argument("--out", help="where finds go (default: a temporary directory)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

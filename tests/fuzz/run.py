"""Fuzz the POS decoder with atheris, outside pytest, in a throw-away environment; libFuzzer's options go through::

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris -e .
    /tmp/fuzz/bin/python -m tests.fuzz.run /tmp/corpus -max_total_time=600 -max_len=1200

The corpus folder is made and filled with the vectors. A crash leaves a ``crash-…`` file in the working directory: put
its bytes into ``targets.FINDINGS``, which pytest replays, and then mend what they found.
"""

import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["unicom_coupon_adapters.unionpay_pos"]):
    from tests.fuzz.targets import FINDINGS, decode, seeds


def main() -> None:
    corpus = next((Path(word) for word in sys.argv[1:] if not word.startswith("-")), None)
    if corpus is not None:
        corpus.mkdir(parents=True, exist_ok=True)
        for seed in (*seeds(), *map(bytes.fromhex, FINDINGS)):
            (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    atheris.Setup(sys.argv, decode)
    atheris.Fuzz()


main()

"""Command line: `python -m rsmoe_train STAGE --data DIR --work DIR`."""
import argparse
from pathlib import Path
from . import features, tail
if __name__ == "__main__":
    p = argparse.ArgumentParser(); p.add_argument("stage"); p.add_argument("--data", type=Path); p.add_argument("--work", type=Path); p.add_argument("--minutes", type=float, default=10)
    a = p.parse_args()
    {"features": features.run, "tail": tail.run}[a.stage](a.data, a.work, a.minutes)

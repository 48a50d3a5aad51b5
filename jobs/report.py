"""`python -m jobs.report CONFIG.toml`: decide and report again, from the evidence of an earlier audit."""

import sys

from jobs.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["report", "--config", *sys.argv[1:]]))

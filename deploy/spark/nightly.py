"""What spark-submit starts: ``altcredit pipeline run --engine spark``, with the arguments given besides."""

import sys

from altcredit.main import run

if __name__ == "__main__":
    sys.argv = ["altcredit", "pipeline", "run", "--engine", "spark", *sys.argv[1:]]
    run()

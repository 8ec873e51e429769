"""Print docs/features.md from the catalogue: ``python -m tools.feature_table > docs/features.md``."""

import sys

from altcredit.pipeline.features.catalogue import CATALOGUE

_DIRECTION = {1: "higher is riskier", -1: "lower is riskier", 0: "none"}


def page() -> str:
    lines = [
        "# Features",
        "",
        "What is read from a ledger as of a day. The direction is a constraint on the model; features without one may",
        "count either way; facts are for reasons and never model inputs. This page is generated from the code",
        "(`make docs`).",
        "",
        "| Feature | Family | Unit | Meaning | Direction |",
        "|---|---|---|---|---|",
    ]
    for name, feature in CATALOGUE.items():
        direction = _DIRECTION[feature.monotone] if feature.model_input else "fact"
        lines.append(f"| `{name}` | {feature.family} | {feature.unit} | {feature.meaning} | {direction} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())

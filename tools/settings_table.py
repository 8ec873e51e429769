"""Print docs/settings.md from the settings themselves: ``python -m tools.settings_table > docs/settings.md``."""

import sys
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec

from altcredit.runtime.settings import PREFIX, Settings


def table() -> str:
    lines = [
        "# Settings",
        "",
        "Read once from the environment when a process starts. This page is generated from the code (`make docs`).",
        "",
        "| Variable | Default | Meaning |",
        "|---|---|---|",
    ]
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        kind, *metas = (
            get_args(hints[field.name]) if get_origin(hints[field.name]) is Annotated else [hints[field.name]]
        )
        says = next((meta.description for meta in metas if isinstance(meta, msgspec.Meta) and meta.description), "")
        choices = f" One of {', '.join(f'`{one}`' for one in get_args(kind))}." if get_args(kind) else ""
        default = f"`{field.default}`" if field.default != "" else ""
        lines.append(f"| `{PREFIX}{field.name.upper()}` | {default} | {says}{choices} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())

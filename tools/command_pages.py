"""Print docs/commands.md from the command tree itself: ``python -m tools.command_pages > docs/commands.md``."""

import sys

import cyclopts

from altcredit.cli.app import build


def _walk(app: cyclopts.App, path: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    for name in sorted(app):
        if name.startswith("-"):
            continue
        command = app[name]
        here = (*path, name)
        children = [one for one in command if not one.startswith("-")]
        if children:
            lines += _walk(command, here)
        else:
            about = (command.help or "").strip().split("\n")[0]
            lines.append(f"| `{' '.join(here)}` | {about} |")
    return lines


def page() -> str:
    head = [
        "# Commands",
        "",
        "`altcredit COMMAND --help` explains each. Results go to standard output, progress to standard error; `--json`",
        "is there wherever data is printed. Exit codes: 0 done, 1 a check failed, 2 wrong usage, 3 refused. This page",
        "is generated from the code (`make docs`).",
        "",
        "| Command | What it does |",
        "|---|---|",
    ]
    return "\n".join([*head, *_walk(build({}, lambda product: product.encode()), ("altcredit",))]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())

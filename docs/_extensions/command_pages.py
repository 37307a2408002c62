"""The directive `hashkit-commands`: every command of `hashkit` with its help, arguments and options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive


def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, under its full name."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        yield from walk(children[name], f"{path} {name}")


class Commands(Directive):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        import typer.main

        from hashkit.cli import app

        return [section(path, command) for path, command in walk(typer.main.get_command(app), "hashkit")]


def section(path: str, command: Any) -> nodes.section:
    made = nodes.section(ids=[nodes.make_id(path)], names=[path])
    made += nodes.title(text=path)
    for text in inspect.cleandoc(command.help or "").split("\n\n"):
        made += nodes.paragraph(text=" ".join(text.split()))
    made += parameters(command)
    return made


def parameters(command: Any) -> nodes.definition_list:
    listed = nodes.definition_list()
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_option = parameter.param_type_name == "option"
        names = ", ".join([*parameter.opts, *parameter.secondary_opts]) if is_option else parameter.name.upper()
        item = nodes.definition_list_item()
        item += nodes.term("", "", nodes.literal(text=names))
        item += nodes.definition("", nodes.paragraph(text=description(parameter)))
        listed += item
    return listed


def description(parameter: Any) -> str:
    text = parameter.help or ""
    default = parameter.default
    is_shown = isinstance(default, (str, int, float)) and not isinstance(default, bool) and "[default" not in text
    return f"{text} Default: {default}." if is_shown else text


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("hashkit-commands", Commands)
    return {"version": "1", "parallel_read_safe": True}

"""The command `hashkit`; no logic of its own."""

from hashkit.cli.app import app, main

__all__ = ["app", "main"]

"""`python -m hashkit`: the command, where its script is not on the path."""

from hashkit.cli import main

main()

"""`python -m cli` is `orderflow`, for those who start it with a Python of their choice."""

from cli.main import main

main(prog_name="orderflow")

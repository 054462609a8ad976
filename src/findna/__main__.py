"""`python -m findna` is the command `findna`."""

from findna.cli import main

main()

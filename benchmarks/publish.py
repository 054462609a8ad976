"""Write `src/findna/model/published.tsv`, the list of published models, from their folders.

    python benchmarks/publish.py            # after findna export into one of the two folders
    python benchmarks/publish.py --check    # exit code 1 if the list and the folders differ

Models that come with the package lie in `src/findna/model/weights/NAME`, the others in
`models/NAME`; every file in them is published.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from findna.files import atomic_file, file_digest
from findna.model.model import WEIGHTS
from findna.model.published import COLUMNS, PACKAGE, REPOSITORY, TABLE, Place

FOLDERS: Mapping[Place, Path] = {"package": PACKAGE, "repository": REPOSITORY}


def lines(folders: Mapping[Place, Path]) -> Iterator[str]:
    """The lines of the list: a header, then one a file, by place, name and file."""
    yield "\t".join(COLUMNS)
    for place, folder in folders.items():
        for config in sorted(folder.glob("*/config.json")):
            if not config.with_name(WEIGHTS).is_file():
                sys.exit(f"{config.parent} has no {WEIGHTS}: join its parts, and remove them")
            for file in sorted(config.parent.iterdir()):
                size, digest = file.stat().st_size, file_digest(file)
                yield "\t".join((config.parent.name, place, file.name, str(size), digest))


def main() -> None:
    """Write the list, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    text = "".join(f"{line}\n" for line in lines(FOLDERS))
    if given.check:
        sys.exit(f"{TABLE} is not what the folders hold" if TABLE.read_text() != text else 0)
    with atomic_file(TABLE, overwrite=True) as made:
        made.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()

"""Print the oldest versions that pyproject.toml admits, as constraints for pip."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
wanted = project["dependencies"] + [
    line for name, lines in extras.items() if name not in {"all", "dev"} for line in lines
]
print("\n".join(line.replace(">=", "==") for line in wanted))

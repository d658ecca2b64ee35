"""What every test run shares."""

import os

os.environ.setdefault("NEXTGPT_BFLOAT16", "0")  # training tests compute the same on every processor

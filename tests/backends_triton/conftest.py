"""A cache of compiled kernels for this run alone, and contraction as triton's compiler is asked for it."""

import atexit
import os
import shutil
import tempfile

# triton reads these when first imported, hence at import of this file
_cache = tempfile.mkdtemp(prefix="optgen-triton-")
atexit.register(shutil.rmtree, _cache, ignore_errors=True)
os.environ["TRITON_CACHE_DIR"] = _cache
os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"

"""`make test-kernel`: the kernel's tests with the kernel under the address and undefined-behaviour sanitizers.

A sanitized library cannot be loaded into a plain interpreter, so the sanitizer's runtime is preloaded; Python's own
leaks are ignored. Halts at the first finding. Also reports the compiler's warnings, which the set-up's build ignores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.installation import kernel

ROOT = Path(__file__).resolve().parents[2]
CHECKS = "-fsanitize=address,undefined,float-cast-overflow,float-divide-by-zero"
STRICT = ("-Wconversion", "-Wpedantic", "-Werror")


def main(arguments: list[str]) -> int:
    compiler = shutil.which("cc")
    if compiler is None:
        print("There is no C compiler here (apt-get install gcc libc6-dev).", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="doorward-kernel-") as folder:
        library = Path(folder) / "motion-kernel.so"
        flags = (*kernel.FLAGS, *STRICT, "-g", CHECKS, "-fno-sanitize-recover=all")
        problem = kernel.build(ROOT, library, compiler, flags)
        if problem:
            print(problem, file=sys.stderr)
            return 1
        runtime = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        environment = {
            **os.environ,
            "DOORWARD_TEST_KERNEL": str(library),
            "LD_PRELOAD": runtime.stdout.strip(),
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONMALLOC": "malloc",
        }
        words = [sys.executable, "-m", "pytest", "-q", "--timeout=900", "tests/recorder/test_motion_kernel.py"]
        return subprocess.run([*words, *arguments], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

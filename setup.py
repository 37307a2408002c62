"""The native extensions; everything else about the package stands in pyproject.toml."""

import os
import sys
from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import Extension, setup

ParallelCompile("HASHKIT_BUILD_JOBS", default=os.cpu_count() or 1).install()

# A wheel needs no debug information, which takes a fifth of the compiler's time; Python's own flags ask for it.
debugging = ["-g0"] if "bdist_wheel" in sys.argv else []
warnings = ["-Wall", "-Wextra", "-Wswitch-enum", "-Werror"] if os.environ.get("HASHKIT_WERROR") else []

bindings = glob("csrc/bindings/*.cpp")
module = "csrc/bindings/module.cpp"  # includes the other bindings; it takes longest, so it is compiled first

native = Pybind11Extension(
    "hashkit._native",
    sources=[module, *sorted({*glob("csrc/*/*.cpp")} - {*bindings})],
    depends=sorted([*bindings, *glob("csrc/*/*.hpp"), *glob("csrc/*/*.inl")]),
    include_dirs=["csrc"],
    cxx_std=17,
    extra_compile_args=["-O3", "-fno-math-errno", "-ffp-contract=off", "-pthread", *debugging, *warnings],
    extra_link_args=["-pthread"],
)

loops = [
    Extension(path[:-4].replace("/", "."), [path], extra_compile_args=["-O3", *debugging])
    for path in sorted(glob("hashkit/**/*.pyx", recursive=True))
]

setup(
    ext_modules=[native, *loops],
    # The Cython loops are compiled beside the core. setuptools translates them, and only where something is built.
    options={"build_ext": {"parallel": 2, "cython_c_in_temp": True}},
)

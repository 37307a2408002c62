"""The native extensions; everything else about the package stands in pyproject.toml."""

import os
import sys
from glob import glob

from Cython.Build import cythonize
from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import Extension, setup

ParallelCompile("HASHKIT_BUILD_JOBS", default=os.cpu_count() or 1).install()

# A wheel needs no debug information, which takes a fifth of the compiler's time; Python's own flags ask for it.
debugging = ["-g0"] if "bdist_wheel" in sys.argv else []
warnings = ["-Wall", "-Wextra", "-Wswitch-enum", "-Werror"] if os.environ.get("HASHKIT_WERROR") else []

native = Pybind11Extension(
    "hashkit._native",
    sources=sorted(glob("csrc/**/*.cpp", recursive=True)),
    depends=sorted(glob("csrc/**/*.hpp", recursive=True) + glob("csrc/**/*.inl", recursive=True)),
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
    ext_modules=[native, *cythonize(loops, build_dir="build", language_level=3)],
    options={"build_ext": {"parallel": 2}},  # the Cython loops beside the core
)

"""The native extensions; everything else about the package stands in pyproject.toml."""

import os
import sys
from glob import glob
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import Extension, setup

ParallelCompile("HASHKIT_BUILD_JOBS", default=os.cpu_count() or 1).install()

# A wheel needs no debug information, which takes a fifth of the compiler's time; Python's own flags ask for it.
debugging = ["-g0"] if "bdist_wheel" in sys.argv else []
warnings = ["-Wall", "-Wextra", "-Wswitch-enum", "-Werror"] if os.environ.get("HASHKIT_WERROR") else []


def in_one_unit(room):
    """Path of a file that includes all sources of a folder of csrc: the headers are read once, in a third less time."""
    unit = Path("build", "units", f"{room.name}.cpp")
    text = "".join(f'#include "{room.name}/{source.name}"\n' for source in sorted(room.glob("*.cpp")))
    if not unit.exists() or unit.read_text() != text:
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(text)
    return unit.as_posix()


# A file of kernels is compiled by itself, each for another instruction set; the bindings include each other.
bindings, kernels = Path("csrc/bindings"), Path("csrc/kernels")
rooms = {source.parent for source in Path("csrc").glob("*/*.cpp")} - {bindings, kernels}

native = Pybind11Extension(
    "hashkit._native",
    sources=[  # what takes longest first
        (bindings / "module.cpp").as_posix(),
        *(in_one_unit(room) for room in sorted(rooms)),
        *(source.as_posix() for source in sorted(kernels.glob("*.cpp"))),
    ],
    depends=sorted(path.as_posix() for path in Path("csrc").glob("*/*.[chi]*")),
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

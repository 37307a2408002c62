"""Stubs say what the compiled modules have: the same names, arguments, defaults and types."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import hashkit

PACKAGE = Path(hashkit.__file__).parent
CYTHON_STUBS = sorted(PACKAGE.rglob("*.pyi"), key=str)
CYTHON_STUBS.remove(PACKAGE / "_native.pyi")
CYTHON_STUBS.remove(PACKAGE / "__init__.pyi")  # of Python, for names that load on first use: test_typing.py


def stubbed_functions(path):
    tree = ast.parse(path.read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def aliases(path):
    """`_Nearest = tuple[...]` and the like, as text."""
    tree = ast.parse(path.read_text())
    return {node.targets[0].id: ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Assign)}


def native_functions():
    """The functions of `_native`, parsed from the signature with which pybind11 begins a docstring."""
    module = importlib.import_module("hashkit._native")
    functions = {}
    for name, value in vars(module).items():
        if name.startswith("__") or isinstance(value, type):
            continue
        signature = value.__doc__.splitlines()[0]
        signature = re.sub(r"typing\.SupportsInt( \| typing\.SupportsIndex)?", "int", signature)
        signature = re.sub(r"typing\.SupportsFloat( \| typing\.SupportsIndex)?", "float", signature)
        signature = signature.replace("hashkit._native.", "").replace("numpy.typing.", "").replace("numpy.", "np.")
        functions[name] = ast.parse(f"def {signature}: ...").body[0]
    return functions


def shape_of(function):
    """Arguments with defaults, and annotations, as comparable text."""
    arguments = function.args
    names = [(argument.arg, argument.annotation and ast.unparse(argument.annotation)) for argument in arguments.args]
    return names, [ast.unparse(default) for default in arguments.defaults]


def widened(annotation, exact):
    """The stub's type as pybind11 writes it, which names no items of a dict, list or tuple where C++ has plain ones."""
    return re.sub(r"\b(dict|list|tuple)\[.*\]", r"\1", annotation) if exact in ("dict", "list", "tuple") else annotation


def test_native_stub_has_the_names_of_the_module():
    module = importlib.import_module("hashkit._native")
    classes = [name for name, value in vars(module).items() if isinstance(value, type)]
    tree = ast.parse((PACKAGE / "_native.pyi").read_text())
    assert sorted(stubbed_functions(PACKAGE / "_native.pyi")) == sorted(native_functions())
    assert [node.name for node in tree.body if isinstance(node, ast.ClassDef)] == sorted(classes)


@pytest.mark.parametrize("name", sorted(native_functions()))
def test_native_stub_has_the_signature_of_the_module(name):
    path = PACKAGE / "_native.pyi"
    stub, native = stubbed_functions(path)[name], native_functions()[name]
    stub_arguments, stub_defaults = shape_of(stub)
    arguments, defaults = shape_of(native)
    known = aliases(path)

    def resolved(annotation, exact):
        text = re.sub(r"\b_\w+", lambda match: known[match.group()], annotation)
        return " | ".join(dict.fromkeys(widened(part, exact) for part in text.split(" | ")))

    assert stub_defaults == defaults
    assert [
        (name, resolved(stubbed, exact)) for (name, stubbed), (_, exact) in zip(stub_arguments, arguments, strict=True)
    ] == arguments
    exact = ast.unparse(native.returns)
    assert resolved(ast.unparse(stub.returns), exact) == exact


@pytest.mark.parametrize("path", CYTHON_STUBS, ids=lambda path: path.stem)
def test_cython_stub_has_the_functions_of_the_module(path):
    module = importlib.import_module(".".join(["hashkit", *path.relative_to(PACKAGE).with_suffix("").parts]))
    compiled = {
        name: list(inspect.signature(value).parameters)
        for name, value in vars(module).items()
        if type(value).__name__ == "cython_function_or_method"
    }
    stubbed = {name: [arg.arg for arg in node.args.args] for name, node in stubbed_functions(path).items()}
    assert stubbed == compiled


def test_every_compiled_module_has_a_stub():
    compiled = {path.with_name(path.name.split(".")[0]) for path in PACKAGE.rglob("*.so")}
    assert compiled == {path.with_suffix("") for path in [*CYTHON_STUBS, PACKAGE / "_native.pyi"]}

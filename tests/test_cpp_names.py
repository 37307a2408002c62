"""One name, one meaning in csrc: no two files define a class or a constant of one name in one namespace.

Two classes of one name in one namespace break the one-definition rule even where no file sees both, and the linker
keeps either. Two constants of one name with two values mislead a reader; where one file sees both, the inner one hides
the other. Unnamed namespaces count as the namespace around them: a name in one of them is seen beside the names of
every header that its file includes.
"""

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[1] / "csrc"
FILES = sorted(path for path in CSRC.rglob("*") if path.suffix in {".cpp", ".hpp", ".inl"})

NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|^[ \t]*#(?:\\\n|[^\n])*', re.S | re.M
)
NAMESPACE = re.compile(r"\bnamespace\s*([\w:]*)\s*$")
TYPE = re.compile(r"\b(?:class|struct|enum(?:\s+class)?)\s+(\w+)(?:\s+final)?(?:\s*:\s*[^;{]*)?\s*$")
CONSTANTS = re.compile(r"^(?!.*\bextern\b).*\bconst(?:expr)?\b.*?\bk[A-Z]", re.S)
CONSTANT = re.compile(r"\b(k[A-Z]\w*)(?:\[\w*\])*\s*(?:=(?!=)|$)")
ALIAS = re.compile(r"\busing\s+(\w+)\s*=")


def names_in(text):
    """(namespace, name) of the classes, constants and aliases that a text defines at namespace scope."""
    found, scopes, begin = [], [], 0
    code = NOT_CODE.sub(" ", text)
    for match in re.finditer(r"[{};]", code):
        statement, sign = code[begin : match.start()], match.group()
        begin = match.end()
        at_top = all(scope is not None for scope in scopes)
        namespace = NAMESPACE.search(statement)
        if at_top and not namespace:
            where = "::".join(scope for scope in scopes if scope)
            constants = CONSTANT.findall(statement) if CONSTANTS.match(statement) else []
            types = TYPE.findall(statement) if sign == "{" else []
            found += [(where, name) for name in [*constants, *types, *ALIAS.findall(statement)]]
        if sign == "{":
            scopes.append(namespace.group(1) if namespace else None)
        elif sign == "}":
            scopes.pop()
    assert not scopes
    return found


def clashes(texts):
    """The names that more than one of some texts, by file name, defines in one namespace; and who they are."""
    files = {}
    for file, text in texts.items():
        for where, name in set(names_in(text)):
            # A fragment is included within the namespaces of several instruction sets, always beside other fragments.
            files.setdefault(("fragment" if file.endswith(".inl") else where, name), []).append(file)
    return {f"{where}::{name}": sorted(of) for (where, name), of in files.items() if len(of) > 1}


def test_no_name_is_defined_twice_in_a_namespace():
    texts = {str(path.relative_to(CSRC)): path.read_text() for path in FILES}
    assert clashes(texts) == {}


def test_the_names_are_found():
    found = {name for path in FILES for _, name in names_in(path.read_text())}
    # A class and a struct, constants in and outside of unnamed namespaces and of fragments, an enum, an alias.
    assert {"Probing", "Substring", "kNoMaximum", "kAll", "kSampleCodes", "kTriples", "Isa", "NearestView"} <= found
    assert not {"kSlack", "kRunsAhead"} & found  # inside a class, inside a function


HEADER = "namespace hashkit {\nclass Cut { int a_; };\nconstexpr size_t kGroup = 32;  // queries\n}\n"


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ("namespace hashkit { class Cut final : public Base { int b_; }; }", "hashkit::Cut"),
        ("namespace hashkit { struct Cut { int b_; }; }", "hashkit::Cut"),
        ("namespace hashkit {\nnamespace {\nconstexpr size_t kGroup = 16, kOther = 1;\n}\n}", "hashkit::kGroup"),
        ("namespace hashkit { const int kGroup{16}; }", "hashkit::kGroup"),
        ("namespace hashkit { const int kOther = 1, kGroup = 16; }", "hashkit::kGroup"),
        ("namespace hashkit { constexpr int kGroup[] = {1, 2}; }", "hashkit::kGroup"),
        ("namespace hashkit { extern const int kGroup; }", None),
        ("namespace hashkit::avx2 { struct Cut {}; }", None),
        ("namespace hashkit { class Cut; void f() { constexpr size_t kGroup = 16; } }", None),
        ('namespace hashkit { // class Cut {\n const char* text = "class Cut {"; }', None),
    ],
)
def test_clashes_are_found(other, name):
    expected = {} if name is None else {name: ["a.hpp", "b.cpp"]}
    assert clashes({"a.hpp": HEADER, "b.cpp": other}) == expected

"""Count what docs/architecture.md says of the code: run it, and put its figures there.

Modules of the library and the command line, without tests. A function's length is that of its
definition, docstring and all, and once more without docstring; comments are counted per 100
statements.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import grimp

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "stemscale", ROOT / "cli")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    """Print all figures."""
    files = sorted(file for folder in FOLDERS for file in folder.rglob("*.py"))
    lengths = [len(file.read_text().splitlines()) for file in files]
    trees = {file: ast.parse(file.read_text()) for file in files}
    functions = [f for tree in trees.values() for f in ast.walk(tree) if isinstance(f, Function)]
    sizes = [f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno]
    bare = [size - _docstring_lines(f) for size, f in zip(sizes, functions, strict=True)]
    public = [f for file, tree in trees.items() for f in _public(file, tree)]
    documented = [f for f in public if ast.get_docstring(f)]
    with_numpydoc = [f for f in documented if "\n----" in (ast.get_docstring(f) or "")]
    raising = [f for f in documented if "\nRaises\n" in (ast.get_docstring(f) or "")]
    with_example = [f for f in documented if ">>>" in (ast.get_docstring(f) or "")]
    statements = sum(isinstance(n, ast.stmt) for tree in trees.values() for n in ast.walk(tree))
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    print(
        f"modules: {len(files)}, {sum(lengths):,} lines, median {median(lengths):.0f}, "
        f"longest {max(lengths)}, {sum(n > 500 for n in lengths)} over 500"
    )
    print(
        f"functions: {len(sizes)}, median {median(sizes):.0f} lines, longest {max(sizes)}, "
        f"{sum(n > 60 for n in sizes)} over 60; without docstrings longest {max(bare)}, "
        f"{sum(n > 60 for n in bare)} over 60"
    )
    print(f"annotated: {_share(sum(map(_is_annotated, functions)), len(functions))} of functions")
    print(
        f"public functions and methods: {len(public)}, with docstring "
        f"{_share(len(documented), len(public))}; {len(with_numpydoc)} with sections, "
        f"{len(raising)} with Raises, {len(with_example)} with an example"
    )
    print(f"comments: {100 * sum(map(_comments, files)) / statements:.0f} per 100 statements")
    print(f"rooms that import each other: {_cycles() or 'none'}")
    print(
        f"tests: {sum(map(_tests, tests)):,} functions in {len(tests)} files, "
        f"{sum(len(t.read_text().splitlines()) for t in tests):,} lines"
    )
    print(
        "longest modules: "
        + ", ".join(
            f"{file.relative_to(ROOT)} {n}"
            for n, file in sorted(zip(lengths, files, strict=True))[:-6:-1]
        )
    )
    longest = sorted(((f.end_lineno or 0) - f.lineno + 1, f.name) for f in functions)[:-6:-1]
    print("longest functions: " + ", ".join(f"{name} {n}" for n, name in longest))


def _public(file: Path, tree: ast.Module) -> Iterator[Function]:
    """Functions of the module, and methods of its classes, whose names do not begin with _."""
    if any(part.startswith("_") and part != "__init__.py" for part in file.parts[-2:]):
        return
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (f for f in node.body if isinstance(f, Function) and f.name[0] != "_")


def _docstring_lines(function: Function) -> int:
    if ast.get_docstring(function) is None:
        return 0
    first = function.body[0]
    return (first.end_lineno or 0) - first.lineno + 1


def _is_annotated(function: Function) -> bool:
    given = function.args
    asked = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    named = [a for a in asked if a is not None and a.arg not in ("self", "cls")]
    return function.returns is not None and all(a.annotation is not None for a in named)


def _comments(file: Path) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(file.read_text()).readline)
    return sum(token.type == tokenize.COMMENT for token in tokens)


def _tests(file: Path) -> int:
    nodes = ast.walk(ast.parse(file.read_text()))
    return sum(isinstance(n, Function) and n.name.startswith("test_") for n in nodes)


def _cycles() -> str:
    graph = grimp.build_graph("stemscale", "stemscale_cli", exclude_type_checking_imports=True)
    rooms = sorted(m for m in graph.modules if m.count(".") == 1 and graph.find_children(m))
    pairs = [
        f"{a}/{b}"
        for i, a in enumerate(rooms)
        for b in rooms[i + 1 :]
        if graph.direct_import_exists(importer=a, imported=b, as_packages=True)
        and graph.direct_import_exists(importer=b, imported=a, as_packages=True)
    ]
    return ", ".join(pairs)


def _share(some: int, all_: int) -> str:
    return f"{100 * some / all_:.1f} %"


if __name__ == "__main__":
    main()

"""Reads the source: the floors, and the rules that no other test can see."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

#: An import only goes down, or stays on its floor. The longest prefix counts.
FLOORS = {
    "dsl_tf": 0,
    "dsl_tf.environment": 0,
    "dsl_tf.errors": 0,
    "dsl_tf.files": 0,
    "dsl_tf.locks": 0,
    "dsl_tf.plugins": 0,
    "dsl_tf.provenance": 0,
    "dsl_tf.streams": 0,
    "dsl_tf.types": 0,
    "dsl_tf.data": 1,
    "dsl_tf.sparsity": 1,
    "dsl_tf.data.graph": 2,
    "dsl_tf.data.negatives": 2,
    "dsl_tf.data.pipelines": 2,
    "dsl_tf.optimizers": 2,
    "dsl_tf.storage": 2,
    "dsl_tf.evaluation": 3,
    "dsl_tf.layers": 3,
    "dsl_tf.backbones": 4,
    "dsl_tf.accounting": 5,
    "dsl_tf.callbacks": 5,
    "dsl_tf.export": 5,
    "dsl_tf.methods": 5,
    "dsl_tf.training": 5,
    "dsl_tf.children": 6,
    "dsl_tf.command_line": 6,
    "dsl_tf.compare": 6,
    "dsl_tf.config_files": 6,
    "dsl_tf.experiment": 6,
    "dsl_tf.flags": 6,
    "dsl_tf.main": 6,
    "dsl_tf.recommend": 6,
    "dsl_tf.reports": 6,
    "dsl_tf.results": 6,
    "dsl_tf.run_folder": 6,
    "dsl_tf.studies": 6,
    "dsl_tf.study": 6,
    "dsl_tf.tune": 6,
    "dsl_tf.tuning": 6,
}

MAX_LINES = 300

#: Tests of the whole, which mirror no single module.
TESTS_OF_THE_WHOLE = {"architecture", "end_to_end", "movielens", "packaging"}


def _module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


SOURCES = {
    _module(path): ast.parse(path.read_text(encoding="utf-8"), str(path))
    for path in sorted((ROOT / "dsl_tf").rglob("*.py"))
}


def _imports(tree):
    """Dotted names imported anywhere in a tree, with what comes `from` them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _floor(name):
    """The floor of a module, or of a name imported from one."""
    while name not in FLOORS:
        name = name.rpartition(".")[0]
    return FLOORS[name]


def _upward(module, tree):
    return [
        f"{module} imports {name}"
        for name in _imports(tree)
        if name.split(".")[0] == "dsl_tf" and _floor(name) > _floor(module)
    ]


def _branches_on_packed(tree):
    tests = [
        node.subject if isinstance(node, ast.Match) else node.test
        for node in ast.walk(tree)
        if isinstance(node, ast.If | ast.IfExp | ast.Match | ast.While)
    ]
    return [test.lineno for test in tests if "packed" in ast.dump(test).lower()]


def _without_docstring(tree):
    nodes = [tree, *tree.body]
    kinds = ast.Module | ast.FunctionDef | ast.ClassDef
    return [
        getattr(node, "name", "the module")
        for node in nodes
        if isinstance(node, kinds)
        and not getattr(node, "name", "").startswith("_")
        and getattr(node, "body", None)
        and ast.get_docstring(node) is None
    ]


def test_every_module_has_a_floor():
    roots = {".".join(module.split(".")[:2]) for module in SOURCES}
    assert roots <= set(FLOORS)


def test_imports_only_go_down():
    assert [each for name in SOURCES for each in _upward(name, SOURCES[name])] == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("dsl_tf.sparsity.growth", "from dsl_tf.storage.base import SparseWeight"),
        ("dsl_tf.data.files", "from dsl_tf.data import pipelines"),
        ("dsl_tf.layers.dense", "def f():\n    import dsl_tf.backbones.base"),
    ],
)
def test_an_import_that_goes_up_is_seen(module, line):
    assert len(_upward(module, ast.parse(line))) == 1
    assert _upward("dsl_tf.main", ast.parse(line)) == []


def test_sparsity_never_imports_keras():
    for module, tree in SOURCES.items():
        if module.startswith("dsl_tf.sparsity"):
            assert not {"keras", "tf_keras"} & {
                name.split(".")[0] for name in _imports(tree)
            }, module


def test_storage_never_imports_a_criterion():
    criteria = ("dsl_tf.sparsity.pruning", "dsl_tf.sparsity.growth")
    for module, tree in SOURCES.items():
        if module.startswith("dsl_tf.storage"):
            assert not [x for x in _imports(tree) if x.startswith(criteria)], module


def test_only_storage_asks_which_storage_it_is():
    for module, tree in SOURCES.items():
        if not module.startswith("dsl_tf.storage"):
            assert _branches_on_packed(tree) == [], module


def test_a_branch_on_packed_is_seen():
    assert _branches_on_packed(ast.parse("x = 1\nif w.is_packed: x = 2")) == [2]
    assert _branches_on_packed(ast.parse("x = 1 if s == 'packed' else 2")) == [1]


def test_a_backbone_never_mentions_masks_or_ratios():
    forbidden = {"mask", "masks", "nnz", "update_ratio", "sparsity"}
    for module, tree in SOURCES.items():
        if module.startswith("dsl_tf.backbones"):
            names = {
                getattr(node, "id", getattr(node, "attr", getattr(node, "arg", "")))
                for node in ast.walk(tree)
            }
            assert not forbidden & names, module


def test_keras_is_tf_keras():
    """`tf.keras` is lazy, and `tf.losses` and its like may stay Keras 3."""
    aliases = {"keras", "losses", "metrics", "optimizers", "initializers"}
    for module, tree in SOURCES.items():
        assert "keras" not in {name.split(".")[0] for name in _imports(tree)}, module
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert not (node.value.id == "tf" and node.attr in aliases), (
                    f"{module}, line {node.lineno}: tf.{node.attr}"
                )


def test_files_are_short():
    for path in (ROOT / "dsl_tf").rglob("*.py"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= MAX_LINES, f"{path.relative_to(ROOT)}: {lines} lines"


def test_no_file_is_a_drawer():
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert not drawers & {module.rpartition(".")[2] for module in SOURCES}


def test_everything_public_is_described():
    missing = {name: _without_docstring(tree) for name, tree in SOURCES.items()}
    assert {name: what for name, what in missing.items() if what} == {}


def test_a_missing_description_is_seen():
    tree = ast.parse("class A:\n    x = 1\ndef f(): pass\ndef _g(): pass")
    assert _without_docstring(tree) == ["the module", "A", "f"]


def test_every_test_mirrors_a_module():
    for path in (ROOT / "tests").rglob("*_test.py"):
        relative = path.relative_to(ROOT / "tests")
        if relative.parts[0] == "contracts" or relative.stem[:-5] in TESTS_OF_THE_WHOLE:
            continue
        module = relative.with_name(relative.name.replace("_test.py", ".py"))
        private = module.with_name(f"_{module.name}")
        package = module.with_suffix("") / "__init__.py"
        homes = [ROOT / "dsl_tf" / home for home in (module, private, package)]
        homes.append(ROOT / module)  # configs, benchmarks
        assert any(home.is_file() for home in homes), relative

"""The browser kit: its own tests in Node, its types, its size."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from testproject.bootstrap import ROOT
from tests.js import typescript

KIT = ROOT / "django_ratelimit_gcra" / "static" / "django_ratelimit_gcra"
HERE = Path(__file__).parent
MOST_BYTES = 6_000
STRICT = (
    *("--strict", "--noUnusedLocals", "--noUnusedParameters", "--exactOptionalPropertyTypes", "false"),
    *("--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--lib", "es2022,dom,dom.iterable"),
)


def node(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("node")
    assert program, "missing: Node; run: python3 -m tests --install"
    return subprocess.run([program, *map(str, arguments)], cwd=ROOT, check=False, text=True, capture_output=True)


def check(*arguments: str | Path) -> str:
    """What the type checker complains of."""
    done = node(typescript.compiler(), *STRICT, *arguments)
    return done.stdout + done.stderr


def modules() -> list[Path]:
    """What a page loads."""
    return sorted(KIT.glob("ratelimit-*.js"))


@pytest.mark.parametrize("tests", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name.split(".")[0])
def test_the_tests_in_node_pass(tests: Path) -> None:
    done = node("--test", tests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout


def test_what_a_page_loads_is_small() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes(), mtime=0)) for path in modules()}
    assert 0 < sum(sizes.values()) < MOST_BYTES, sizes


LONGEST = """
const ts = require(process.argv[1]);
const file = process.argv[2];
const source = ts.createSourceFile(file, ts.sys.readFile(file), ts.ScriptTarget.ES2022, true);
const line = (place) => source.getLineAndCharacterOfPosition(place).line;
(function walk(node) {
  if (ts.isFunctionLike(node)) console.log(line(node.end) - line(node.getStart(source)) + 1);
  ts.forEachChild(node, walk);
})(source);
"""


@pytest.mark.parametrize("module", modules(), ids=lambda path: path.stem)
def test_no_function_is_longer_than_a_glance(module: Path) -> None:
    done = node("-e", LONGEST, typescript.compiler().parents[1] / "lib" / "typescript.js", module)
    assert 10 < max(map(int, done.stdout.split())) <= 40, done.stderr


def test_the_modules_are_strictly_typed_and_so_are_their_declarations() -> None:
    sources = [*modules(), *KIT.glob("ratelimit-*.d.ts")]
    assert check("--noEmit", "--allowJs", "--checkJs", *sources) == ""


def test_pages_may_write_what_the_declarations_say_and_nothing_else() -> None:
    assert check("--noEmit", HERE / "usage.ts") == ""


def test_the_declarations_are_those_of_the_code() -> None:
    """A .d.ts beside a .js hides it, so each function of the code names its declaration, which checkJs holds it to."""
    module = KIT / "ratelimit-fetch.js"
    listed = node("--input-type=module", "-e", f"console.log(Object.keys(await import({module.as_uri()!r})).join())")
    declared = re.findall(
        r"^export (?:class|function) (\w+)", module.with_suffix(".d.ts").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(listed.stdout.strip().split(",")) == sorted(declared), listed.stderr
    code = "".join(path.read_text("utf-8") for path in modules())
    held = re.findall(r"@type \{typeof import\('\./ratelimit-fetch\.js'\)\.(\w+)\} \*/\nexport", code)
    assert sorted([*held, "RateLimitError"]) == sorted(declared)


def test_the_kit_depends_on_nothing() -> None:
    for path in modules():
        lines = [
            line
            for line in path.read_text("utf-8").splitlines()
            if line.startswith(("import ", "export {")) and "from" in line
        ]
        assert all("from './ratelimit-" in line for line in lines), path.name

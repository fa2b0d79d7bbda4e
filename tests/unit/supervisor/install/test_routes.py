"""Each kind of route, with packages made up here and served on loopback to the registries' own tools."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.tags import Tag
from tests.unit.supervisor.install.serving import Shelf, a_system, deb_of, tar_of, wheel_of

from ripple.model.errors import Refused
from ripple.model.system import LockedFile, LockedRoute, Route, System, VendorLock, this_platform
from ripple.stack.vendorlock import failed_entry
from ripple.supervisor.install import Installer, NotObtainable, Tree, pypi
from ripple.supervisor.install.archives import _same, lay_file
from ripple.supervisor.install.cache import Kept

pytestmark = pytest.mark.anyio
SCRIPT = "#!python\nimport greeting\nprint(greeting.WORD)\n"


def said(tree: Tree, name: str) -> str:
    return subprocess.run([tree.bin / name], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def locked(system: System, *routes: LockedRoute) -> VendorLock:
    return VendorLock(systems={system.id: {this_platform(): routes}})


async def installed(system: System, prefix: Path) -> tuple[Installer, Tree]:
    """The system, locked and installed."""
    found = await Installer(prefix, VendorLock()).resolve(system)
    assert found.attempts == ()
    one = Installer(prefix, locked(system, *found.routes))
    return one, await one.install(system)


def index_of(shelf: Shelf, name: str, wheels: dict[str, bytes]) -> None:
    """A simple index (PEP 503) with one project's wheels."""
    links = []
    for file, body in wheels.items():
        address = shelf.put(f"/files/{file}", body)
        links.append(f'<a href="{address}#sha256={hashlib.sha256(body).hexdigest()}">{file}</a>')
    shelf.put(f"/simple/{name}/", f"<html><body>{''.join(links)}</body></html>")


@pytest.fixture
def python_index(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shelf:
    greeting = wheel_of("greeting", "2.0", {"greeting.py": "WORD = 'hello'\n"})
    tool = wheel_of("wheeltool", "1.0", {"wheeltool.py": ""}, {"wheeltool": SCRIPT})
    index_of(shelf, "greeting", {"greeting-2.0-py3-none-any.whl": greeting})
    index_of(shelf, "wheeltool", {"wheeltool-1.0-py3-none-any.whl": tool})
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{shelf.url}/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    return shelf


async def test_wheels_go_into_an_environment_of_their_own(python_index: Shelf, prefix: Path) -> None:
    route = {"kind": "pypi", "package": "wheeltool", "version": "1.0", "also": ["greeting==2.0"]}
    one, tree = await installed(a_system("wheeltool", route), prefix)
    assert said(tree, "wheeltool") == "hello"
    assert tree.python == tree.root / "bin/python"
    assert await one.verify(a_system("wheeltool", route)) == []
    file = one._locked(a_system("wheeltool", route))[0][1].files[0]
    assert file.url == "pkg:pypi/wheeltool@1.0?file_name=wheeltool-1.0-py3-none-any.whl"
    assert python_index.url not in file.url


async def test_a_wheel_is_fetched_again_from_its_package_url_alone(python_index: Shelf, prefix: Path) -> None:
    system = a_system("wheeltool", {"kind": "pypi", "package": "greeting", "version": "2.0"})
    found = await Installer(prefix, VendorLock()).resolve(system)
    shutil.rmtree(prefix)
    tree = await Installer(prefix, locked(system, *found.routes)).install(system)
    assert tree.version == "2.0"


def test_a_locked_wheel_is_taken_although_another_one_would_suit_better() -> None:
    tags = {Tag("py3", "none", "any"): 9, Tag("py2", "none", "any"): 1}
    names = ("x-1-py2-none-any.whl", "x-1-py3-none-any.whl")
    wheels = [{"name": name, "url": f"https://index.invalid/{name}", "hashes": {"sha256": "a"}} for name in names]
    package = {"name": "x", "version": "1", "wheels": wheels}
    assert pypi._wheel(package, tags, frozenset())[0].qualifiers["file_name"] == names[0]
    assert pypi._wheel(package, tags, frozenset({names[1]}))[0].qualifiers["file_name"] == names[1]


async def test_a_wheel_that_changed_at_the_index_is_refused(python_index: Shelf, prefix: Path) -> None:
    system = a_system("wheeltool", {"kind": "pypi", "package": "greeting", "version": "2.0"})
    found = await Installer(prefix, VendorLock()).resolve(system)
    shutil.rmtree(prefix)
    python_index.put(
        "/files/greeting-2.0-py3-none-any.whl", wheel_of("greeting", "2.0", {"greeting.py": "WORD = 'hellO'\n"})
    )
    with pytest.raises(Refused, match="do not use it"):
        await Installer(prefix, locked(system, *found.routes)).install(system)


async def test_a_project_with_only_a_source_distribution_is_said(
    python_index: Shelf, prefix: Path, tmp_path: Path
) -> None:
    index_of(python_index, "sourceonly", {"sourceonly-1.0.tar.gz": tar_of({"sourceonly-1.0/setup.py": ""})})
    system = a_system("sourceonly", {"kind": "pypi", "package": "sourceonly", "version": "1.0"})
    found = await Installer(prefix, VendorLock()).resolve(system)
    assert found.routes == (failed_entry(system.routes[0]),)
    assert "wheels" in found.attempts[0]


async def test_a_dependency_that_is_not_used_can_be_left_out(python_index: Shelf, prefix: Path) -> None:
    weights = wheel_of("weights", "1.0", {"weights.py": "WORD = 'kept'\n"}, requires="nowhere>=2")
    index_of(python_index, "weights", {"weights-1.0-py3-none-any.whl": weights})
    route = {"kind": "pypi", "package": "weights", "version": "1.0"}
    found = await Installer(prefix, VendorLock()).resolve(a_system("weights", route))
    assert "nowhere" in found.attempts[0]
    system = a_system("weights", {**route, "also": ["!nowhere"]})
    one, tree = await installed(system, prefix)
    assert await one.verify(system) == []
    assert tree.version == "1.0"


async def test_another_python_that_is_not_there_is_the_reason(python_index: Shelf, prefix: Path) -> None:
    route = {"kind": "pypi", "package": "greeting", "version": "2.0", "python": "==3.99.*"}
    found = await Installer(prefix, VendorLock()).resolve(a_system("g", route))
    assert "needs Python ==3.99.*" in found.attempts[0]


@pytest.fixture
def npm_registry(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shelf:
    publish(shelf, "left", "1.0.0", {"index.js": "module.exports = 'left'"}, {})
    publish(shelf, "@scope/right", "2.0.0", {"index.js": "module.exports = 'right'"}, {})
    script = "#!/usr/bin/env node\nconsole.log(require('left'), require('@scope/right'))\n"
    facts = {"bin": {"nodetool": "cli.js"}, "dependencies": {"left": "1.0.0", "@scope/right": "2.0.0"}}
    evil = {"scripts": {"postinstall": f"touch {tmp_path}/ran"}}
    publish(shelf, "nodetool", "3.0.0", {"cli.js": script}, {**facts, **evil})
    monkeypatch.setenv("npm_config_registry", f"{shelf.url}/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
    monkeypatch.setenv("npm_config_min_release_age", "0")
    return shelf


def publish(shelf: Shelf, name: str, version: str, files: dict[str, str], facts: Mapping[str, object]) -> None:
    """Put a package into the registry."""
    manifest = {"name": name, "version": version, **facts}
    whole = {"package.json": json.dumps(manifest), **files}
    body = tar_of({f"package/{key}": text for key, text in whole.items()}, runs=False)
    address = shelf.put(f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz", body)
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(body).digest()).decode()
    told = {**manifest, "dist": {"tarball": address, "integrity": integrity}}
    shelf.put(
        f"/{name}", json.dumps({"name": name, "dist-tags": {"latest": version}, "versions": {version: told}})
    )


async def test_npm_packages_stand_where_npm_places_them_and_run_no_script(
    npm_registry: Shelf, prefix: Path, tmp_path: Path
) -> None:
    system = a_system("nodetool", {"kind": "npm", "package": "nodetool", "version": "3.0.0"})
    one, tree = await installed(system, prefix)
    assert said(tree, "nodetool") == "left right"
    assert not (tmp_path / "ran").exists()
    files = {file.into: file.url for file in one._locked(system)[0][1].files}
    assert files == {
        "node_modules/nodetool": "pkg:npm/nodetool@3.0.0",
        "node_modules/left": "pkg:npm/left@1.0.0",
        "node_modules/@scope/right": "pkg:npm/%40scope/right@2.0.0",
    }
    assert next(iter(files)) == "node_modules/nodetool"


async def test_npm_packages_are_fetched_again_from_their_package_urls(npm_registry: Shelf, prefix: Path) -> None:
    system = a_system("nodetool", {"kind": "npm", "package": "nodetool", "version": "3.0.0"})
    found = await Installer(prefix, VendorLock()).resolve(system)
    shutil.rmtree(prefix)
    assert said(await Installer(prefix, locked(system, *found.routes)).install(system), "nodetool") == "left right"


async def test_packages_for_other_platforms_are_left_out(npm_registry: Shelf, prefix: Path) -> None:
    publish(npm_registry, "for-aix", "1.0.0", {}, {"os": ["aix"]})
    publish(npm_registry, "not-aix", "1.0.0", {}, {"os": ["!aix"]})
    optional = {"optionalDependencies": {"for-aix": "1.0.0", "not-aix": "1.0.0"}}
    publish(npm_registry, "chooser", "1.0.0", {}, optional)
    system = a_system("chooser", {"kind": "npm", "package": "chooser", "version": "1.0.0"})
    _, tree = await installed(system, prefix)
    assert sorted(path.name for path in (tree.root / "node_modules").iterdir()) == [".bin", "chooser", "not-aix"]


async def test_what_npm_packages_only_expect_beside_them_can_be_left_out(
    npm_registry: Shelf, prefix: Path
) -> None:
    publish(npm_registry, "picky", "1.0.0", {}, {"peerDependencies": {"nowhere": ">=2"}})
    route = {"kind": "npm", "package": "picky", "version": "1.0.0"}
    found = await Installer(prefix, VendorLock()).resolve(a_system("picky", route))
    assert "nowhere" in found.attempts[0]
    _, tree = await installed(a_system("picky", {**route, "also": ["!peers"]}), prefix)
    assert sorted(path.name for path in (tree.root / "node_modules").iterdir()) == [".bin", "picky"]


async def test_a_program_no_package_provides_is_an_error_that_names_it(npm_registry: Shelf, prefix: Path) -> None:
    route = {"kind": "npm", "package": "left", "version": "1.0.0", "provides": ["nothing"]}
    system = a_system("left", route)
    found = await Installer(prefix, VendorLock()).resolve(system)
    with pytest.raises(NotObtainable, match="'nothing'; mend 'provides'"):
        await Installer(prefix, locked(system, *found.routes)).install(system)


@pytest.fixture
def debian_archive(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shelf:
    if shutil.which("apt-get") is None:
        pytest.skip("there is no apt-get on this machine")
    packages = []
    for name, depends, files in (
        ("debtool", "debdata, libc6", {"usr/bin/debtool": '#!/bin/sh\ncat "$(dirname "$0")/../share/word"\n'}),
        ("debdata", "", {"usr/share/word": "word"}),
        ("libc6", "", {"lib/libc.so.6": "not this one"}),
    ):
        control = f"Package: {name}\nVersion: 1:2.0\nArchitecture: all\nMaintainer: nobody\nDescription: a test\n"
        control += f"Depends: {depends}\n" if depends else ""
        body = deb_of(control, files)
        shelf.put(f"/{name}.deb", body)
        size, digest = len(body), hashlib.sha256(body).hexdigest()
        packages.append(f"{control}Filename: ./{name}.deb\nSize: {size}\nSHA256: {digest}\n")
    shelf.put("/./Packages.gz", gzip.compress("\n".join(packages).encode(), mtime=0))
    shelf.put("/./Packages", "\n".join(packages))
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] {shelf.url}/ ./\n")
    for folder in ("lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{tmp_path}/sources.list";\nDir::Etc::SourceParts "/dev/null";\n'
        f'Dir::State::Lists "{tmp_path}/lists";\nDir::Cache "{tmp_path}/cache";\n'
        'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::http::Proxy "DIRECT";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    done = subprocess.run(["apt-get", "update"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return shelf


async def test_debian_packages_go_below_the_tree_without_root(debian_archive: Shelf, prefix: Path) -> None:
    system = a_system("debtool", {"kind": "debian", "package": "debtool", "provides": ["debtool"]})
    one, tree = await installed(system, prefix)
    assert said(tree, "debtool") == "word"
    assert ":" not in tree.root.name
    assert [file.url for file in one._locked(system)[0][1].files] == [
        "pkg:deb/debian/debtool@1:2.0?arch=all",
        "pkg:deb/debian/debdata@1:2.0?arch=all",
    ]


async def test_a_package_apt_does_not_know_is_said_with_what_to_do(debian_archive: Shelf, prefix: Path) -> None:
    found = await Installer(prefix, VendorLock()).resolve(a_system("no", {"kind": "debian", "package": "no-such"}))
    assert "Unable to locate package no-such" in found.attempts[0]
    assert "apt-get update" in found.attempts[0]


@pytest.fixture
def go_modules(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shelf:
    if shutil.which("go") is None:
        pytest.skip("there is no go on this machine")
    put_module(shelf, "example.test/tool", "v1.0.0", {
        "go.mod": "module example.test/tool\ngo 1.20\n",
        "cmd/gotool/main.go": 'package main\nfunc main() { println("from go") }\n',
    })  # fmt: skip
    for name, value in {
        "GOPROXY": shelf.url, "GOSUMDB": "off", "GOMODCACHE": str(tmp_path / "mod"), "GOFLAGS": "-modcacherw",
        "GONOSUMDB": "*", "GOENV": "off",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return shelf


def put_module(shelf: Shelf, name: str, version: str, files: dict[str, str]) -> None:
    """Put a module into the proxy."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for path, text in files.items():
            opened.writestr(f"{name}@{version}/{path}", text)
    shelf.put(f"/{name}/@v/{version}.info", json.dumps({"Version": version}))
    shelf.put(f"/{name}/@v/{version}.mod", files["go.mod"])
    shelf.put(f"/{name}/@v/list", f"{version}\n")
    shelf.put(f"/{name}/@latest", json.dumps({"Version": version}))
    shelf.put(f"/{name}/@v/{version}.zip", made.getvalue())


async def test_a_go_program_is_compiled_once_and_then_comes_from_the_cache(
    go_modules: Shelf, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = {"kind": "go", "package": "example.test/tool/cmd/gotool", "version": "v1.0.0"}
    system = a_system("gotool", route)
    one, tree = await installed(system, prefix)
    done = subprocess.run([tree.bin / "gotool"], capture_output=True, text=True, timeout=30)
    assert done.stderr == "from go\n"
    assert one._locked(system)[0][1].files[0].url == "pkg:golang/example.test/tool@v1.0.0"
    await one.remove("gotool")
    monkeypatch.setenv("PATH", "/nowhere")
    assert (await one.install(system)).root == tree.root


async def test_a_go_module_whose_versions_nobody_lists_is_compiled_all_the_same(
    go_modules: Shelf, prefix: Path
) -> None:
    del go_modules.bodies["/example.test/tool/@v/list"], go_modules.bodies["/example.test/tool/@latest"]
    _, tree = await installed(
        a_system("gotool", {"kind": "go", "package": "example.test/tool/cmd/gotool", "version": "v1.0.0"}), prefix
    )
    done = subprocess.run([tree.bin / "gotool"], capture_output=True, text=True, timeout=30)
    assert done.stderr == "from go\n"


async def test_a_go_module_that_excludes_versions_is_compiled_all_the_same(
    go_modules: Shelf, prefix: Path
) -> None:
    put_module(go_modules, "example.test/picky", "v1.0.0", {
        "go.mod": "module example.test/picky\ngo 1.20\nexclude example.test/x v0.0.1\n",
        "main.go": 'package main\nfunc main() { println("picky") }\n',
    })  # fmt: skip
    _, tree = await installed(
        a_system("picky", {"kind": "go", "package": "example.test/picky", "version": "v1.0.0"}), prefix
    )
    assert subprocess.run([tree.bin / "picky"], capture_output=True, text=True, timeout=30).stderr == "picky\n"


async def test_a_go_module_that_is_not_the_locked_one_is_refused(go_modules: Shelf, prefix: Path) -> None:
    route = {"kind": "go", "package": "example.test/tool/cmd/gotool", "version": "v1.0.0"}
    system = a_system("gotool", route)
    found = (await Installer(prefix, VendorLock()).resolve(system)).routes[0]
    other = found.model_copy(update={"files": (found.files[0].model_copy(update={"sha256": "0" * 64}),)})
    with pytest.raises(Refused, match="the lock says 0000"):
        await Installer(prefix, locked(system, other)).install(system)


async def test_a_go_module_that_nobody_locked_is_no_tampered_one(go_modules: Shelf, prefix: Path) -> None:
    route = {"kind": "go", "package": "example.test/tool/cmd/gotool", "version": "v1.0.0"}
    found = (await Installer(prefix, VendorLock()).resolve(a_system("gotool", route))).routes[0]
    put_module(go_modules, "example.test/more", "v1.0.0", {
        "go.mod": "module example.test/more\ngo 1.20\n", "main.go": "package main\nfunc main() {}\n",
    })  # fmt: skip
    system = a_system("gotool", {**route, "also": ["example.test/more@v1.0.0"]})
    with pytest.raises(NotObtainable, match=r"does not know the module example\.test/more"):
        await Installer(prefix, locked(system, found)).install(system)


async def test_a_go_module_whose_replacements_are_folders_says_so(go_modules: Shelf, prefix: Path) -> None:
    put_module(go_modules, "example.test/local", "v1.0.0", {
        "go.mod": "module example.test/local\ngo 1.20\nrequire example.test/x v0.0.0\n"
                  "replace example.test/x => ./x\n",
        "main.go": "package main\nfunc main() {}\n",
    })  # fmt: skip
    system = a_system("local", {"kind": "go", "package": "example.test/local", "version": "v1.0.0"})
    found = await Installer(prefix, VendorLock()).resolve(system)
    with pytest.raises(NotObtainable, match=r"replaces example\.test/x by folders of its own repository"):
        await Installer(prefix, locked(system, *found.routes)).install(system)


@pytest.fixture
def crates_index(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shelf:
    if shutil.which("cargo") is None or subprocess.run(("cargo", "--version"), capture_output=True).returncode:
        pytest.skip("not run: there is no working cargo on this machine")
    manifest = '[package]\nname = "rustytool"\nversion = "1.0.0"\nedition = "2021"\n'
    lock = 'version = 3\n\n[[package]]\nname = "rustytool"\nversion = "1.0.0"\n'
    main = 'fn main() { println!("from rust"); }\n'
    names = {"Cargo.toml": manifest, "Cargo.lock": lock, "src/main.rs": main}
    crate = tar_of({f"rustytool-1.0.0/{name}": text for name, text in names.items()}, runs=False)
    shelf.put("/dl/rustytool/1.0.0/download", crate)
    shelf.put("/index/config.json", json.dumps({"dl": f"{shelf.url}/dl"}))
    facts = {"name": "rustytool", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False}
    shelf.put("/index/ru/st/rustytool", json.dumps({**facts, "cksum": hashlib.sha256(crate).hexdigest()}))
    home = tmp_path / "cargo"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[source.crates-io]\nreplace-with = "here"\n[source.here]\nregistry = "sparse+{shelf.url}/index/"\n'
    )
    monkeypatch.setenv("CARGO_HOME", str(home))
    return shelf


async def test_a_crate_is_compiled_once_and_then_comes_from_the_cache(
    crates_index: Shelf, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = a_system("rustytool", {"kind": "crates", "package": "rustytool", "version": "1.0.0"})
    one, tree = await installed(system, prefix)
    assert said(tree, "rustytool") == "from rust"
    assert list((prefix / "scratch").iterdir()) == []
    assert one._locked(system)[0][1].files[0].url == "pkg:cargo/rustytool@1.0.0"
    await one.remove("rustytool")
    monkeypatch.setenv("PATH", "/nowhere")
    assert (await one.install(system)).root == tree.root


async def test_a_crate_without_an_exact_version_is_not_locked(prefix: Path) -> None:
    found = await Installer(prefix, VendorLock()).resolve(a_system("c", {"kind": "crates", "package": "c"}))
    assert "needs an exact version" in found.attempts[0]


def test_an_archive_a_jar_and_a_program_each_become_a_tree(tmp_path: Path) -> None:
    route = Route.model_validate({"kind": "maven", "package": "g:a:zip", "version": "1", "provides": ["kc.sh"]})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        entry = zipfile.ZipInfo("a-1/bin/kc.sh")
        entry.external_attr = 0o100755 << 16
        opened.writestr(entry, "#!/bin/sh\necho here\n")
    lay_file(route, tmp_path / "a.zip", tmp_path / "zip", "a.zip")
    lay_file(route, tmp_path / "a.zip", tmp_path / "jar", "a.jar")
    (tmp_path / "program").write_text("#!/bin/sh\necho alone\n")
    lay_file(route, tmp_path / "program", tmp_path / "plain", "kc-linux")
    done = [subprocess.check_output([tmp_path / kind / "bin/kc.sh"], timeout=30) for kind in ("zip", "plain")]
    assert done == [b"here\n", b"alone\n"]
    assert f"java -jar {tmp_path}/jar/app/a.jar" in (tmp_path / "jar/bin/kc.sh").read_text()


async def test_a_route_that_ends_in_no_tree_says_why(prefix: Path) -> None:
    system = a_system(
        "x", {"kind": "oci", "package": "image", "version": "1"}, {"kind": "nix", "package": "nixpkgs#x"}
    )
    found = await Installer(prefix, VendorLock()).resolve(system)
    assert [text.partition(":")[0] for text in found.attempts] == ["oci image 1", "nix nixpkgs#x"]
    with pytest.raises(NotObtainable, match="none is copied into the prefix"):
        await Installer(prefix, locked(system)).install(system)


def test_a_wrong_archive_of_maven_is_refused_and_removed(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(Refused, match="the lock says 1111"):
        _same(
            LockedFile(url="pkg:maven/g/a@1?type=zip", sha256="1" * 64, size=1), Kept(tmp_path / "x", "2" * 64, 1)
        )
    assert not (tmp_path / "x").exists()

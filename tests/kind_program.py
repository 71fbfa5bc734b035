"""Stands for the program `kind`: it makes its nodes through the docker that it finds in PATH, as kind does."""

from __future__ import annotations

from pathlib import Path

from tests.providers_engine import script

BODY = """
[ "$1" = --version ] && { echo "kind version 0.27.0"; exit 0; }
printf '%s\\n' "$*" >>"$log"
while [ $# -gt 0 ]; do
  case "$1" in --name) name=$2 ;; --config) config=$2 ;; --image) image=$2 ;; esac
  shift
done
cp "$config" "$log.yaml"
echo " \N{BULLET} Preparing nodes \N{PACKAGE} \N{PACKAGE}  ..."
[ ! -e "$log.wait" ] || { touch "$log.waits"; sleep 600; }
[ ! -e "$log.fail" ] || { echo "ERROR: failed to create cluster: no luck" >&2; exit 1; }
node() {
  docker container run --detach --name "$name-$1" --network "$KIND_EXPERIMENTAL_DOCKER_NETWORK" \
    --label "io.x-k8s.kind.cluster=$name" "$image" >/dev/null
}
node control-plane
workers=$(grep -c 'role: worker' "$config")
for number in $(seq "$workers"); do node "worker${number#1}"; done
echo "ready"
"""


class FakeKind:
    """`log` has the words of each call, and beside it the last configuration. It fails, or hangs, once told so."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "kind.log"
        self.program = script(folder / "bin" / "kind", f"log='{self.log}'\n{BODY}")

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def config(self) -> str:
        return self.log.with_name(f"{self.log.name}.yaml").read_text()

    def fail(self) -> None:
        self._flag("fail").touch()

    def hang(self) -> Path:
        """Returns a file that is there once it hangs."""
        self._flag("wait").touch()
        return self._flag("waits")

    def _flag(self, name: str) -> Path:
        return self.log.with_name(f"{self.log.name}.{name}")

"""A store's volume plugin on a node: what starts it, and what activates it with the node's engine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from harness.model.places import STORES_DIR
from harness.model.plan import StorePlan

PROGRAM = "volume_plugin.py"
#: Where engines look for plugins; the file's name is the plugin's.
SOCKETS = "/run/docker/plugins"
ACTIVE_S = 30


def beside(store: StorePlan, files: Mapping[str, str]) -> dict[str, str]:
    """The files of a store, and those of its plugin. After a restart of its node the engine comes later than the
    plugin; it must have heard of it before the orchestrator asks which nodes have one.

    The plugin stays when the store goes, and refuses everything: an engine never forgets a plugin, and waits 15 s
    for one that is gone whenever it is asked for its volumes (Docker 26.1.5). The next such store takes over.
    """
    folder = f"{STORES_DIR}/{store.name}"
    later = f"sh {folder}/activate </dev/null >/dev/null 2>&1 &"
    return {
        **files,
        PROGRAM: resources.files("harness.stores").joinpath(f"_{PROGRAM}").read_text(encoding="utf-8"),
        "daemons/plugin": _daemon(store, folder),
        "activate": _activate(store, folder),
        "up": f"{files['up'].strip()} && sh {folder}/daemons/plugin start\n{later}\n",
    }


def _socket(store: StorePlan) -> str:
    return f"{SOCKETS}/{store.kind}.sock"


def _command(store: StorePlan) -> str:
    """As it stands in the list of processes: by this a plugin is found."""
    return f"python3 -I -S {STORES_DIR}/{store.name}/{PROGRAM} {_socket(store)} {store.mount}"


def _daemon(store: StorePlan, folder: str) -> str:
    return f"""
pids() {{ pgrep -f '^{_command(store)}$' || :; }}
case "$1" in
pid) pids ;;
start)
  [ -z "$(pids)" ] || exit 0
  for other in $(pgrep -f '^python3 -I -S .*/{PROGRAM} {_socket(store)} '); do kill -9 "$other"; done
  mkdir -p {SOCKETS}
  rm -f {_socket(store)}
  setsid {_command(store)} </dev/null >{folder}/plugin.log 2>&1 &
  end=$(($(date +%s) + {ACTIVE_S}))
  until [ -S {_socket(store)} ]; do
    [ "$(date +%s)" -lt "$end" ] || {{ cat {folder}/plugin.log >&2; exit 1; }}
    sleep 0.1
  done
  ;;
esac
"""


def _activate(store: StorePlan, folder: str) -> str:
    """An engine hears of a plugin when it is first asked about volumes; a scheduler passes nodes over whose engine
    has not.
    """
    return f"""
sh {folder}/daemons/plugin start || exit
heard() {{
  timeout 20 docker volume ls >/dev/null 2>&1
  timeout 10 docker info --format '{{{{json .Plugins.Volume}}}}' 2>/dev/null | grep -q '"{store.kind}"'
}}
end=$(($(date +%s) + {ACTIVE_S}))
until heard; do
  [ "$(date +%s)" -lt "$end" ] || {{ echo "the engine does not know the volume plugin {store.kind}" >&2; exit 1; }}
  sleep 0.2
done
"""

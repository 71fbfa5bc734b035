"""The JSON schema of topology files as people write them, for editors: Compose's short forms included.

Made from the models and the catalog. What only a second look at the whole file can tell (names across sections,
conflicts) is left to the loader.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from harness.loader.checks import ID, MAX_CHECKS
from harness.loader.names import TARGETS
from harness.model.catalog import Catalog
from harness.model.topology import NAME, Topology
from harness.promises import NAMES as PROMISES

Schema = dict[str, Any]

_NAME: Schema = {"type": "string", "pattern": NAME}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_TEXTS: Schema = {"type": "object", "additionalProperties": _SCALAR}


def topology_schema(catalog: Catalog) -> Schema:
    """A schema of draft 2020-12. Names that are not built yet are left out: the loader refuses them."""
    schema: Schema = _without_titles(Topology.model_json_schema())
    definitions: Schema = schema["$defs"]
    del definitions["Check"]
    _name_catalog(definitions, catalog)
    _allow_short_forms(definitions)
    _allow_empty_sections(schema["properties"])
    schema["properties"]["checks"] = _checks(catalog, definitions)
    _close_named(schema)
    return {
        **schema,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Topology",
        "description": "A cluster, its networks, volumes and services, and the checks to run on it",
    }


def render_schema(catalog: Catalog) -> str:
    """The schema as text: keys sorted, one final newline; equal catalogs give equal texts."""
    return json.dumps(topology_schema(catalog), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _without_titles(schema: Any) -> Any:
    """The titles that pydantic makes repeat the names."""
    if isinstance(schema, list):
        return [_without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: _without_titles(v) for k, v in schema.items() if not (k == "title" and isinstance(v, str))}


def _name_catalog(definitions: Schema, catalog: Catalog) -> None:
    """Names from the catalog become enumerations; descriptions and defaults stay."""
    for model, key, names in (
        ("Cluster", "provider", catalog.providers),
        ("Cluster", "orchestrator", catalog.orchestrators),
        ("Network", "driver", catalog.network_drivers),
        ("Volume", "driver", catalog.volume_drivers),
        ("Store", "kind", catalog.store_kinds),
        ("Fault", "fault", catalog.faults),
    ):
        definitions[model]["properties"][key]["enum"] = sorted(names.built)
        definitions[model]["properties"][key].pop("description", None)
    definitions["PromiseOverride"]["properties"]["promise"]["enum"] = list(PROMISES)
    _fault_params(definitions["Fault"]["properties"], catalog)
    target = definitions["Fault"]["properties"]["target"]
    target["anyOf"] = [{"enum": list(TARGETS)}, {"pattern": "^n[1-9][0-9]?$"}]


def _fault_params(properties: Schema, catalog: Catalog) -> None:
    """Keys of faults' own stand beside the others: which fault has which is left to the loader."""
    del properties["params"]
    for fault, model in sorted(catalog.fault_params.items()):
        for key, schema in _without_titles(model.model_json_schema())["properties"].items():
            told = {**schema, "description": f"{fault}: {schema.get('description', '')}"}
            if key in properties:
                properties[key] = {"anyOf": [*properties[key].get("anyOf", [properties[key]]), told]}
            else:
                properties[key] = told


def _allow_short_forms(definitions: Schema) -> None:
    """What the models' validators turn into the long forms."""
    service = definitions["Service"]["properties"]
    port = {"type": "string", "pattern": r"^([0-9]+:)?[0-9]+(/(tcp|udp))?$"}
    mount = {"type": "string", "pattern": "^[^:]+:/[^:]*(:(ro|rw))?$"}
    pair = {"type": "string", "pattern": "="}
    _also(service["ports"]["items"], port, {"type": "integer", "minimum": 1, "maximum": 65535})
    _also(service["volumes"]["items"], mount)
    _also(service["networks"], {"type": "array", "items": _NAME, "uniqueItems": True})
    (attachments,) = (form for form in service["networks"]["anyOf"] if "patternProperties" in form)
    _also(attachments["patternProperties"][NAME], {"type": "null"})
    service["environment"] = {"anyOf": [_TEXTS, {"type": "array", "items": pair}]}
    service["command"]["anyOf"].append({"type": "string"})
    service["user"]["anyOf"].append({"type": "integer"})
    for model in ("Network", "Volume"):
        definitions[model]["properties"]["driver_opts"] = _TEXTS


def _allow_empty_sections(properties: Schema) -> None:
    for name in ("services", "volumes"):
        _also(properties[name]["patternProperties"][NAME], {"type": "null"})
    for name in ("networks", "stores", "services", "volumes"):
        _also(properties[name], {"type": "null"})


def _also(schema: Schema, *forms: Schema) -> None:
    """Let `schema` accept other forms as well, in place."""
    own = dict(schema)
    schema.clear()
    schema["anyOf"] = [own, *forms]


def _close_named(schema: Any) -> None:
    """Where the names in a mapping have a pattern, other names are refused."""
    for each in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(each, dict | list):
            _close_named(each)
    if isinstance(schema, dict) and "patternProperties" in schema:
        schema["additionalProperties"] = False


# --- checks ------------------------------------------------------------------------------------------------


def _checks(catalog: Catalog, definitions: Schema) -> Schema:
    kinds = {kind: _params(kind, model, definitions) for kind, model in sorted(catalog.checks.items())}
    bare = [kind for kind, model in sorted(catalog.checks.items()) if not _has_required(model)]
    entry = {
        "type": "object",
        "properties": kinds,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    items = [entry, {"enum": bare}] if bare else [entry]
    description = "Ready checks with their parameters, `id` where one stands twice"
    entries = {"type": "array", "maxItems": MAX_CHECKS, "items": {"anyOf": items}, "description": description}
    return {"anyOf": [entries, {"type": "null"}]}


def _params(kind: str, model: type[BaseModel], definitions: Schema) -> Schema:
    """A check's parameters with the keys that every check has. The model's own definitions are hoisted."""
    prefix = f"check-{kind}-"
    params: Schema = _without_titles(model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}"))
    for name, definition in params.pop("$defs", {}).items():
        definitions[prefix + name] = definition
    own = {
        "id": {"type": "string", "pattern": ID, "default": kind, "description": "Name of this check in results"},
        "faults": {
            "type": "array",
            "items": {"$ref": "#/$defs/Fault"},
            "description": "What goes wrong meanwhile",
        },
    }
    params["properties"] = {**params.get("properties", {}), **own}
    if _has_required(model):
        return params
    forms = {"anyOf": [{key: value for key, value in params.items() if key != "description"}, {"type": "null"}]}
    return {**forms, "description": params["description"]} if "description" in params else forms


def _has_required(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())

"""Reads CloudFormation templates and fills in their functions, with example values."""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml

NOTHING = "AWS::NoValue"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "vitrine",
    NOTHING: NOTHING,
}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _short(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short)


class Template:
    """A template with values for its parameters; what has none is named after itself.

    given: parameters. A resource's Ref is its name, its attribute `Name.Attribute`.
    """

    def __init__(self, source: Path | Mapping[str, Any], **given: str) -> None:
        self.raw = yaml.load(source.read_text(), _Loader) if isinstance(source, Path) else source
        unknown = set(given) - set(self.raw.get("Parameters", {}))
        assert not unknown, f"no parameters: {unknown}"
        self.given = given
        self.resources: dict[str, Any] = {
            name: self.fill(resource)
            for name, resource in self.raw["Resources"].items()
            if self.holds(resource.get("Condition"))
        }

    def of(self, kind: str) -> dict[str, Any]:
        """Name → properties of the resources of a type, such as AWS::S3::Bucket."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def parameter(self, name: str) -> str:
        """What was given, else the default, else the name in angle brackets."""
        return str(self.given.get(name, self.raw["Parameters"][name].get("Default", f"<{name}>")))

    def holds(self, condition: str | None) -> bool:
        """Whether a condition of that name is true."""
        return condition is None or bool(self.fill(self.raw["Conditions"][condition]))

    def fill(self, value: Any) -> Any:
        """The value with every function replaced by its result."""
        if isinstance(value, list):
            return [item for item in map(self.fill, value) if item != NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref":
                return self._ref(argument)
            if name == "Condition" and isinstance(argument, str):
                return self.holds(argument)
            if name.startswith("Fn::"):
                return getattr(self, f"_{name.removeprefix('Fn::').lower()}")(argument)
        filled = {key: self.fill(item) for key, item in value.items()}
        return {key: item for key, item in filled.items() if item != NOTHING}

    def _ref(self, name: str) -> str:
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.raw.get("Parameters", {}):
            return self.parameter(name)
        assert name in self.raw["Resources"], f"there is no {name}"
        return name

    def _getatt(self, names: list[str]) -> str:
        assert names[0] in self.raw["Resources"], f"there is no {names[0]}"
        return ".".join(names)

    def _sub(self, given: str | list[Any]) -> str:
        text, own = (given, {}) if isinstance(given, str) else given

        def put(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in own:
                return str(self.fill(own[name]))
            return self._getatt(name.split(".", 1)) if "." in name else self._ref(name)

        return re.sub(r"\$\{([^}]+)\}", put, text)

    def _if(self, given: list[Any]) -> Any:
        condition, yes, no = given
        return self.fill(yes if self.holds(condition) else no)

    def _equals(self, given: list[Any]) -> bool:
        left, right = map(self.fill, given)
        return str(left) == str(right)

    def _not(self, given: list[Any]) -> bool:
        return not self.fill(given[0])

    def _join(self, given: list[Any]) -> str:
        return str(given[0]).join(self.fill(given[1]))

    def _select(self, given: list[Any]) -> Any:
        return self.fill(given[1])[int(given[0])]

    def _getazs(self, _region: str) -> list[str]:
        return [f"{PSEUDO['AWS::Region']}{letter}" for letter in "abc"]

    def _cidr(self, given: list[Any]) -> list[str]:
        network, count, bits = map(self.fill, given)
        parts = ip_network(network).subnets(new_prefix=32 - int(bits))
        return [str(next(parts)) for _ in range(int(count))]

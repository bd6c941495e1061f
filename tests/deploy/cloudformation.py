"""Reads CloudFormation templates and evaluates their functions with example values."""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml

NO_VALUE = "AWS::NoValue"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "vitrine",
    NO_VALUE: NO_VALUE,
}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


class Template:
    """A template evaluated with parameters; one without a value is its name in angle brackets.

    A resource's Ref is its name, its attribute is `Name.Attribute`.
    """

    def __init__(self, source: Path | Mapping[str, Any], **parameters: str) -> None:
        self.raw = yaml.load(source.read_text(), _Loader) if isinstance(source, Path) else source
        unknown = set(parameters) - set(self.raw.get("Parameters", {}))
        assert not unknown, f"no parameters: {unknown}"
        self._parameters = parameters
        self.resources: dict[str, Any] = {
            name: self.evaluate(resource)
            for name, resource in self.raw["Resources"].items()
            if self._is_true(resource.get("Condition"))
        }

    def of_type(self, kind: str) -> dict[str, Any]:
        """Name to properties of the resources of a type, such as AWS::S3::Bucket."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def evaluate(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self.evaluate, value) if item != NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref":
                return self._ref(argument)
            if name == "Condition" and isinstance(argument, str):
                return self._is_true(argument)
            if name.startswith("Fn::"):
                return getattr(self, f"_{name.removeprefix('Fn::').lower()}")(argument)
        evaluated = {key: self.evaluate(item) for key, item in value.items()}
        return {key: item for key, item in evaluated.items() if item != NO_VALUE}

    def _is_true(self, condition: str | None) -> bool:
        return condition is None or bool(self.evaluate(self.raw["Conditions"][condition]))

    def _ref(self, name: str) -> str:
        if name in PSEUDO:
            return PSEUDO[name]
        declared = self.raw.get("Parameters", {}).get(name)
        if declared is not None:
            return str(self._parameters.get(name, declared.get("Default", f"<{name}>")))
        assert name in self.raw["Resources"], f"there is no {name}"
        return name

    def _getatt(self, names: list[str]) -> str:
        assert names[0] in self.raw["Resources"], f"there is no {names[0]}"
        return ".".join(names)

    def _sub(self, argument: str | list[Any]) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else argument

        def replacement(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in variables:
                return str(self.evaluate(variables[name]))
            return self._getatt(name.split(".", 1)) if "." in name else self._ref(name)

        return re.sub(r"\$\{([^}]+)\}", replacement, text)

    def _if(self, argument: list[Any]) -> Any:
        condition, yes, no = argument
        return self.evaluate(yes if self._is_true(condition) else no)

    def _equals(self, argument: list[Any]) -> bool:
        left, right = map(self.evaluate, argument)
        return str(left) == str(right)

    def _not(self, argument: list[Any]) -> bool:
        return not self.evaluate(argument[0])

    def _join(self, argument: list[Any]) -> str:
        return str(argument[0]).join(self.evaluate(argument[1]))

    def _select(self, argument: list[Any]) -> Any:
        return self.evaluate(argument[1])[int(argument[0])]

    def _getazs(self, _region: str) -> list[str]:
        return [f"{PSEUDO['AWS::Region']}{letter}" for letter in "abc"]

    def _cidr(self, argument: list[Any]) -> list[str]:
        network, count, bits = map(self.evaluate, argument)
        parts = ip_network(network).subnets(new_prefix=32 - int(bits))
        return [str(next(parts)) for _ in range(int(count))]

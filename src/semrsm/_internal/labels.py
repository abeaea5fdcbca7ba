"""Labels: the name of a kernel or matcher with the options that differ from their defaults.

A label, such as ``batch-optimal:window=64``, is the key in runs, results and tables, and an
argument of the command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from inspect import Parameter, signature
from typing import Any, TypeVar

from ..errors import InputError, did_you_mean

Thing = TypeVar("Thing")


def label_of(thing: Any) -> str:
    """Return the name of an object with the options that differ from their defaults.

    Examples
    --------
    >>> from semrsm.matchers import BatchOptimal
    >>> label_of(BatchOptimal()), label_of(BatchOptimal(window=64))
    ('batch-optimal', 'batch-optimal:window=64')
    """
    options = [
        f"{field.name}={_text(getattr(thing, field.name))}"
        for field in _options(type(thing))
        if getattr(thing, field.name) != field.default
    ]
    return f"{thing.name}:{','.join(options)}" if options else str(thing.name)


def from_label(label: str, registry: Mapping[str, type[Thing]], argument: str, what: str) -> Thing:
    """Return the object that a label names.

    Parameters
    ----------
    label : str
        A name, or a name and options: ``name:option=value,option=value``.
    registry : mapping of str to type
        The classes by name.
    argument : str
        The argument's name, for errors.
    what : str
        Further accepted values, as the end of a sentence.

    Raises
    ------
    InputError
        If the name or an option is not known, or a value does not have the type of its option.
    """
    name, colon, rest = label.partition(":")
    if name not in registry:
        raise InputError(
            f"{argument}: expected one of {', '.join(registry)}{what}; got {label!r}."
            f"{did_you_mean(name, registry)}"
        )
    made = registry[name]
    if not colon:
        return made()
    known = {field.name: field for field in _options(made)}
    options: dict[str, Any] = {}
    for text in rest.split(","):
        option, equals, value = text.partition("=")
        if option not in known or not equals or option in options:
            choices = ", ".join(f"{one}=" for one in known) or "no options"
            raise InputError(
                f"{argument}: expected {choices} after {name + ':'!r}, each once; got {text!r}."
                f"{did_you_mean(option, known)}"
            )
        options[option] = _value(known[option], value, f"{argument}: {name}:{option}")
    return made(**options)


def by_label(things: Iterable[Any], argument: str) -> dict[str, Any]:
    """Return objects by label, in order.

    Raises
    ------
    InputError
        If there are no objects, or two have the same label.
    """
    found: dict[str, Any] = {}
    for thing in things:
        if thing.label in found:
            raise InputError(f"{argument}: expected each once; got {thing.label!r} more than once")
        found[thing.label] = thing
    if not found:
        raise InputError(f"{argument}: expected at least one; got none")
    return found


def listed(things: Any) -> list[Any]:
    """Return one thing, or several, as a list."""
    return [things] if isinstance(things, str) or not isinstance(things, Iterable) else [*things]


def registered(registry: dict[str, Any], made: Any, base: type[Any], argument: str) -> None:
    """Put a class into a registry by its name.

    Raises
    ------
    InputError
        If it is not a subclass of `base` with a name, another class has the name, or an option has
        no default: a name alone must make an object.
    """
    if not (isinstance(made, type) and issubclass(made, base) and hasattr(made, "name")):
        raise InputError(
            f"{argument}: expected a subclass of {base.__name__} with a name; got {made!r}"
        )
    name = str(made.name)
    if registry.get(name, made) is not made:
        raise InputError(f"{argument}: the name {name!r} is taken by {registry[name]!r}")
    missing = _without_default(made)
    if missing:
        raise InputError(
            f"{argument}: expected a default for each option of {name!r}; {missing[0]!r} has none"
        )
    registry[name] = made


def _without_default(made: type[Any]) -> list[str]:
    """Return the arguments that a class cannot be made without."""
    needed = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return [
        one.name
        for one in signature(made).parameters.values()
        if one.default is Parameter.empty and one.kind in needed
    ]


def _options(made: type[Any]) -> tuple[Field[Any], ...]:
    return tuple(f for f in fields(made) if f.init) if is_dataclass(made) else ()


def _text(value: Any) -> str:
    """Return the value of an option as labels have it: several numbers are joined by +."""
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _value(field: Field[Any], text: str, where: str) -> Any:
    """Parse the value of an option by the type of its default."""
    default = None if field.default is MISSING else field.default
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise InputError(f"{where}: expected true or false; got {text!r}")
        return text.lower() == "true"
    if isinstance(default, tuple):
        with contextlib.suppress(ValueError):
            return tuple(float(part) for part in text.split("+"))
        raise InputError(f"{where}: expected numbers joined by +; got {text!r}")
    kinds: tuple[type[Any], ...] = (int,) if isinstance(default, int) else (int, float)
    if isinstance(default, float):
        kinds = (float,)
    for kind in kinds:
        with contextlib.suppress(ValueError):
            return kind(text)
    if isinstance(default, (int, float)):
        number = "a whole number" if isinstance(default, int) else "a number"
        raise InputError(f"{where}: expected {number}; got {text!r}")
    return text

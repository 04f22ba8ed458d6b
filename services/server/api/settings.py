"""Settings of a study as JSON carries them: any spelling of each, and the rule that it must follow."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from convscout.services.config.study_config import SETTINGS, Setting
from convscout.services.control.plane import RESERVED


class Settings(RootModel[dict[str, Any]]):
    """Settings of a study, each by field name, option or path in a file: time, max_params, budget.time.

    Null says nothing. Where a study is changed, a text with a plus adds to what was granted: `+10m`.
    """

    needed: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """What the rules of the settings say. The service checks them itself, and tells all that is wrong at once."""
        told = handler(schema)
        allowed = {name: setting for name, setting in SETTINGS.items() if name not in RESERVED}
        handler.resolve_ref_schema(told).update(
            properties={
                name: _describe(setting, needed=name in cls.needed) for name, setting in allowed.items()
            },
            patternProperties={
                pattern: _describe(setting, needed=False)
                for name, setting in allowed.items()
                if name not in cls.needed and (pattern := _others(setting, name))
            },
            additionalProperties=False,
            required=list(cls.needed),
        )
        return told


class NewSettings(Settings):
    """Settings of a new study, each by field name, option or path in a file: time, max_params, budget.time.

    Null says nothing. Without any budget a study ends after ten minutes.
    """

    needed = ("name", "data")


def _others(setting: Setting, name: str) -> str:
    """What else but ``name`` it may be called, as a pattern; nothing where there is no other word."""
    found = [spelling.replace(".", r"\.") for spelling in setting.spellings(name) if spelling != name]
    return f"^({'|'.join(found)})$" if found else ""


def _describe(setting: Setting, *, needed: bool) -> dict[str, Any]:
    rule = setting.rule.schema()
    return {"description": setting.help, **(rule if needed else {"anyOf": [rule, {"type": "null"}]})}

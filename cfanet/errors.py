"""Every error this project raises on purpose.

    CfanetError                 exit code 1
    ├── InputError              2   what the user gave cannot be used: path, picture, option
    │   ├── ConfigError         2   a configuration key or value
    │   └── WeightsError        2   a model file is missing, altered or of the wrong kind
    ├── PictureError            -   one picture cannot be processed; becomes a quarantine row, never an exit
    ├── StorageError            1   files cannot be read or written just now, or changed meanwhile; run again
    ├── GateRefused             3   the audit's verdict is "do not release"
    └── WithheldError           4   the run finished, but withheld more than the limit allows

A message is one sentence that says what is wrong, where, and what to do.
"""

from typing import ClassVar


class CfanetError(Exception):
    """Base of the tree; `exit_code` is what a command returns when nothing handles it."""

    exit_code: ClassVar[int] = 1


class InputError(CfanetError):
    """What the user gave cannot be used."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration key or value is wrong."""


class WeightsError(InputError):
    """A model file is missing, altered or of the wrong kind."""


class PictureError(CfanetError):
    """One picture cannot be processed; `reason` is the short code kept in the ledger."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)  # both, so that the error survives the way between processes
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class StorageError(CfanetError):
    """Files cannot be read or written, or changed while they were used; what is finished stays, so: run again."""


class GateRefused(CfanetError):
    """The audit's verdict is "do not release"."""

    exit_code = 3


class WithheldError(CfanetError):
    """The run finished, but withheld more items than the limit allows."""

    exit_code = 4

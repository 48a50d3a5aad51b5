"""Randomness of a face: a function of (key, sample, face, attempt) and of nothing else."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

import torch

from cfanet.errors import InputError

KEY_BYTES = 32


@dataclass(frozen=True, repr=False)
class SeedKey:
    """A secret from which every face's seed is derived; never printed, never stored."""

    secret: bytes

    @classmethod
    def random(cls) -> "SeedKey":
        """A fresh key that nobody keeps: the run cannot be repeated, and nobody can invert it."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_file(cls, path: Path) -> "SeedKey":
        """Read a key of at least 16 bytes; InputError when the file is missing or too short."""
        try:
            secret = path.read_bytes().strip()
        except OSError as error:
            raise InputError(f"key file {path} cannot be read ({error.strerror}): give a readable file") from error
        if len(secret) < 16:
            raise InputError(f"key file {path} holds {len(secret)} bytes: write at least 16 random bytes into it")
        return cls(secret)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell two keys apart without revealing either."""
        return hashlib.sha256(b"cfanet key fingerprint\0" + self.secret).hexdigest()[:16]

    def digest(self, sample: str, face: int, attempt: int) -> bytes:
        """HMAC-SHA256 of the face's coordinates; 32 bytes."""
        message = f"{sample}\0{face}\0{attempt}".encode()
        return hmac.new(self.secret, message, hashlib.sha256).digest()

    def seed_id(self, sample: str, face: int) -> str:
        """16 hex digits naming a face's seed in the ledger; not the seed, which stays secret."""
        return hashlib.sha256(b"cfanet seed id\0" + self.digest(sample, face, 0)).hexdigest()[:16]

    def generator(self, sample: str, face: int, attempt: int) -> torch.Generator:
        """A CPU generator for one attempt at one face."""
        seed = int.from_bytes(self.digest(sample, face, attempt)[:8], "big") & 0x7FFF_FFFF_FFFF_FFFF
        return torch.Generator().manual_seed(seed)

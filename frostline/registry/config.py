"""The registry's section of the configuration: where the keys are that sign versions and check them."""

from __future__ import annotations

from pydantic import Field

from frostline.section import Section, Text


class SigningConfig(Section):
    """Paths of two files in PEM form; on a cluster, a secret and a config map mount them."""

    key: Text = Field(
        "",
        description="file with the private key that signs versions; only release reads it; empty: versions are not "
        "signed",
    )
    public_key: Text = Field(
        "",
        description="file with the public key that the signature of each version must verify with before it is loaded "
        "or promoted; empty: signatures are not demanded",
    )

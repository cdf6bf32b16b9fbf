"""Certificates: what a sign-off stands on and came to, as an in-toto statement that can be signed and checked again."""

from fxsim.certificate.check import Checked, check_certificate
from fxsim.certificate.envelope import new_key, seal
from fxsim.certificate.make import make_certificate
from fxsim.certificate.statement import PREDICATE_TYPE, Certificate, predicate_schema

__all__ = [
    "PREDICATE_TYPE",
    "Certificate",
    "Checked",
    "check_certificate",
    "make_certificate",
    "new_key",
    "predicate_schema",
    "seal",
]

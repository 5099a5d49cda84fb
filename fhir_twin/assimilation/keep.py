"""A twin as bytes and back, exactly: what a store keeps between two results. MessagePack, no pickle, no code in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_origin

import msgspec
import numpy as np

from fhir_twin.errors import Conflict, InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Twin, readonly

FORMAT = 1


class _Kept(msgspec.Struct, array_like=True):
    format: int
    twin: msgspec.Raw


def dump_twin(twin: Twin) -> bytes:
    """All of the twin: state, memory, points. The bytes hold patient data; who stores them protects them."""
    bare = replace(twin)  # without what it has worked out about itself (model.memo), which is no part of it
    body = msgspec.msgpack.encode(bare, enc_hook=_to_plain, order="deterministic")
    return msgspec.msgpack.encode(_Kept(FORMAT, msgspec.Raw(body)))


def load_twin(data: bytes, biomarkers: BiomarkerSet | None = None) -> Twin:
    """The same twin, bit for bit. Raises InvalidInput when the bytes are no twin, and Conflict when `biomarkers` are
    given and the twin was made with other knowledge (it then has to be rebuilt from the chart)."""
    try:
        kept = _KEPT.decode(data)
        if kept.format != FORMAT:
            raise InvalidInput("this stored twin is of another format: rebuild it from the chart")
        twin = replace(_TWIN.decode(kept.twin))
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise InvalidInput("these bytes are not a stored twin") from error
    if biomarkers is not None and twin.model_version != biomarkers.version:
        raise Conflict("this twin was made with other knowledge: rebuild it from the chart")
    return twin


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [list(value.shape), np.ascontiguousarray(value, dtype="<f8").tobytes()]
    raise NotImplementedError(type(value).__name__)


def _from_plain(wanted: Any, value: Any) -> Any:
    if (get_origin(wanted) or wanted) is np.ndarray:
        shape, data = value
        return readonly(np.frombuffer(data, dtype="<f8").reshape(shape))
    raise NotImplementedError(str(wanted))


# Made at import: msgspec must not learn a type in two threads at once (it ends the process).
_KEPT = msgspec.msgpack.Decoder(_Kept)
_TWIN = msgspec.msgpack.Decoder(Twin, dec_hook=_from_plain)

"""matplotlib, when it is there (extra `reports`): drawn to memory, never to a screen."""

from __future__ import annotations

import io
from typing import Any

from fhir_twin.errors import NotSupported


def pyplot() -> Any:
    """matplotlib.pyplot. Raises NotSupported when it is not installed."""
    try:
        import matplotlib
    except ImportError:
        raise NotSupported("plots need matplotlib: pip install 'fhir-twin[reports]'") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def as_png(plt: Any, figure: Any) -> bytes:
    """The figure as PNG, the same bytes for the same figure; it is closed."""
    out = io.BytesIO()
    figure.tight_layout()
    figure.savefig(out, format="png", metadata={"Software": None})
    plt.close(figure)
    return out.getvalue()

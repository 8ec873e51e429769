from altcredit.engine.sources import (
    cpf_status,
    device_phone,
    negative_bureau,
    open_finance,
    positive_registry,
    registration,
    scr,
)
from altcredit.engine.sources.source import Source

# The cheapest first within a tier: that is the order in which the funnel asks.
SOURCES: dict[str, Source] = {
    module.SOURCE.name: module.SOURCE
    for module in (
        cpf_status,
        registration,
        device_phone,
        negative_bureau,
        scr,
        positive_registry,
        open_finance,
    )
}

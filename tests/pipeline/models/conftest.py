"""One population and one model for the whole run: training takes a second, and models do not change."""

from datetime import UTC, datetime

import pandas as pd
import pytest
from tests.pipeline.models.population import population

from altcredit.pipeline.models import Model, cold_start, train

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def ledgers() -> pd.DataFrame:
    return population()


@pytest.fixture(scope="session")
def trained(ledgers: pd.DataFrame) -> Model:
    return train(
        ledgers,
        version="altscore-xgb-v1",
        expert_version="altscore-expert-v1",
        data_origin="simulated",
        now=NOW,
        replicates=60,
    )


@pytest.fixture(scope="session")
def expert() -> Model:
    return cold_start(version="altscore-expert-v1", now=NOW)

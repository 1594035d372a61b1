"""A believable plant that writes itself down as a replay folder, with the truth beside it."""

from ingest.simulate.disorder import Disorder
from ingest.simulate.write import write_plant

__all__ = ["Disorder", "write_plant"]
